"""wavenet-cache from a checkout."""

from wavenet.cli.cache import main

if __name__ == "__main__":
    main()
