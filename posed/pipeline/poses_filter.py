"""Which `poses` messages are worth publishing."""

from __future__ import annotations

from posed.config import MqttPosesConfig


class PosesFilter:
    """Chooses frame by frame; skips cost nothing but the choice.

    Args:
        config: which messages are wanted; may be replaced at any time.
    """

    def __init__(self, config: MqttPosesConfig) -> None:
        self.config = config
        self._next_at = 0.0
        self._nobody = False

    def wants(self, people: int, now: float) -> bool:
        """Whether to publish a frame.

        Args:
            people: how many people are in the frame.
            now: monotonic time, s.
        """
        config = self.config
        if config.publish == "off" or now < self._next_at:
            return False
        if config.publish == "changes" and people == 0 and self._nobody:
            return False
        self._nobody = people == 0
        if config.max_rate_hz:
            # From when it was due, so that frames at another pace do not make it slower than asked for.
            interval_s = 1 / config.max_rate_hz
            late_s = now - self._next_at
            self._next_at = now + interval_s - (late_s if late_s < interval_s else 0)
        else:
            self._next_at = 0.0
        return True
