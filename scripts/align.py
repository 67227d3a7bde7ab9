"""wavenet-align from a checkout."""

from wavenet.cli.align import main

if __name__ == "__main__":
    main()
