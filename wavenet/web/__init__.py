"""The instrument in a browser: a page that plays exported networks, and a server for it with one's own runs.

    page/        the page itself: static files, and the only code here that runs in a browser
    sources      what a user named: runs, checkpoints and exported files
    worker       the process that exports checkpoints
    exports      those exports, renewed when a checkpoint changes
    listing      voices.json, and the table of all that may be read
    guard        what every request has to pass, and the headers that every answer gets
    server       requests and answers
    serving      the port, and the server's life
    folder       all of it as a folder for any static web server

It may import every room but `wavenet.cli`. `guard`, `server` and `serving` need the extra `wavenet[serve]`.
"""
