"""wavenet-speak from a checkout."""

from wavenet.cli.speak import main

if __name__ == "__main__":
    main()
