"""How codes are drawn: settings alone, without torch."""

from dataclasses import dataclass

from wavenet.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How a code is drawn. The default draws from the model's own distribution."""

    temperature: float = 1.0
    """Divides the logits and scales a mixture's logistics; 0 takes the likeliest code or component mean."""
    top_k: int = 0
    """Keeps the k likeliest codes, and the lower of two that tie; 0 keeps all."""
    top_p: float = 1.0
    """Keeps the smallest set of likeliest codes that holds this much probability; 1 keeps all."""
    guidance: float = 1.0
    """How far labels are exaggerated: logits become without + guidance (with - without). Unless it is 1, each stream
    needs a second one without labels."""

    def check_for_mixture(self) -> None:
        """Raise ConfigError for what a mixture of logistics does not support."""
        for name, without in (("top_k", 0), ("top_p", 1), ("guidance", 1)):
            value = getattr(self, name)
            if value != without:
                raise ConfigError(
                    f"{name} is {value}, but this model ends in a mixture, which supports only temperature: omit it"
                )
