"""The functions, and what runs them."""

from functions.deprecated_imports import install

install()
