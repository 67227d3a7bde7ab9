"""wavenet-evaluate from a checkout."""

from wavenet.cli.evaluate import main

if __name__ == "__main__":
    main()
