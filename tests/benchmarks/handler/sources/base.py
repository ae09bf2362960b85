"""Derived from TorchServe's BaseHandler, with `preprocess` as VisionHandler has it."""

import torch
from sample import to_sample
from ts.torch_handler.base_handler import BaseHandler


class Contender(BaseHandler):
    def initialize(self, context):
        torch.set_num_threads(1)
        super().initialize(context)

    def preprocess(self, data):
        samples = []
        for row in data:
            value = row.get("data") or row.get("body")
            if isinstance(value, (bytes, bytearray)):
                value = to_sample(value)
            else:
                value = torch.FloatTensor(value)
            samples.append(value)
        return torch.stack(samples).to(self.device)
