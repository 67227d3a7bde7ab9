"""wavenet-recognise from a checkout."""

from wavenet.cli.recognise import main

if __name__ == "__main__":
    main()
