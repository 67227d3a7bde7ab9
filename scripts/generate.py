"""wavenet-generate from a checkout."""

from wavenet.cli.generate import main

if __name__ == "__main__":
    main()
