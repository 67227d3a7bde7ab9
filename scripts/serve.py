"""wavenet-serve from a checkout."""

from wavenet.cli.serve import main

if __name__ == "__main__":
    main()
