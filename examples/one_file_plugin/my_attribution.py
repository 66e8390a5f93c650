from dataclasses import dataclass

from auditor import Attribution, hookimpl


@dataclass(frozen=True)
class MyAttribution(Attribution):
    """Sum over channels of gradient times activation; negative evidence is dropped unless `signed`."""

    name = "my_attribution"
    signed: bool = False

    def explain(self, network, images, cases):
        maps = (network.gradients(images, cases) * network.features(images)[cases.image]).sum(1)
        return maps if self.signed else maps.relu()


@hookimpl
def register_attributions():
    return [MyAttribution]
