"""wavenet-export from a checkout."""

from wavenet.cli.export import main

if __name__ == "__main__":
    main()
