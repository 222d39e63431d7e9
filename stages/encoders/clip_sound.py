"""An encoder of the sound around each step that hears all steps of a clip in one go."""

from torch import Tensor

from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.step_windows import cut_spans


class ClipSoundEncoder(StepSoundEncoder):
    """A network over whole clips, which gives each step what it gives to its window alone.

    Neighbouring windows overlap, and what they share is computed once. Steps of a clip that are not
    real pass through the network as silence; while training they take part in batch statistics.
    """

    def _hear(self, waveform: Tensor, num_steps: Tensor, mask_BT: Tensor) -> Tensor:
        spans = cut_spans(waveform, num_steps, self.samples_per_step, self.window_samples)
        vectors_BTD: Tensor = self.network(self.order(spans)).float()
        return vectors_BTD[mask_BT[:, : vectors_BTD.shape[1]]]
