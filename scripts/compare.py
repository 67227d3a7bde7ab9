"""wavenet-compare from a checkout."""

from wavenet.cli.compare import main

if __name__ == "__main__":
    main()
