"""What the hosting guide implies: preprocess, forward, postprocess for each sample."""

import torch
from sample import to_sample

from model import Network


class Contender:
    def initialize(self, context):
        torch.set_num_threads(1)
        self.model = Network()
        self.model.load_state_dict(torch.load("checkpoint.pt", weights_only=True))
        self.model.eval()

    def preprocess(self, value):
        if isinstance(value, (bytes, bytearray)):
            return to_sample(value).unsqueeze(0)
        return torch.tensor(value).unsqueeze(0)

    def postprocess(self, output):
        return output.squeeze(0).tolist()

    def handle(self, data, context):
        answers = []
        for row in data:
            sample = self.preprocess(row.get("data") or row.get("body"))
            with torch.no_grad():
                output = self.model(sample)
            answers.append(self.postprocess(output))
        return answers
