"""Start of the process `trainer`: `python -m functions.trainer --data DIR`."""

import argparse

from functions.trainer.trainer_loop import keep_training
from storage.config.folders import Folders
from storage.config.process_setup import add_data_option
from storage.platform import logs
from storage.platform.private_files import restrict_new_files
from storage.platform.process import stop_on_signals


def main() -> None:
    """Run until SIGTERM or SIGINT. It has no settings: the engine decides when to train."""
    parser = argparse.ArgumentParser(description="Train the model when it is due.")
    add_data_option(parser)
    logs.add_options(parser)
    arguments = parser.parse_args()
    restrict_new_files()
    logs.configure("trainer", arguments.log_level, arguments.log_format)
    stop = stop_on_signals()
    keep_training(Folders.at(arguments.data).create(), stop)


if __name__ == "__main__":
    main()
