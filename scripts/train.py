"""wavenet-train from a checkout."""

from wavenet.cli.train import main

if __name__ == "__main__":
    main()
