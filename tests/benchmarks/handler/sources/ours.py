"""The author's file of the model that runs in the shared handler."""

from sample import to_sample

from base_handler import handler_factory
from model import Network

handler = handler_factory(init_function=Network, preprocess_function=to_sample)
