"""The Lightning module that trains a model."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn

from equipot._processes import say
from equipot.artifacts._checkpoint import checkpoint_record
from equipot.config._trainer_rules import swaps_weights
from equipot.errors import ConfigError, DataError, problem
from equipot.graph import Graph, num_frames
from equipot.model._automatic import AutomaticModifiers, apply_automatic
from equipot.model._graph_model import GraphModel
from equipot.model._modifiers import DERIVATIVES
from equipot.options import Configurable
from equipot.train._diagnose import not_finite
from equipot.train._measures import WEIGHTED_SUM, Measure
from equipot.train._optimizers import in_one_pass
from equipot.train._parts import GradientCombination, WeightAverage
from equipot.train._position import LoopPosition, loader_state, log_epoch, position, trained_batches
from equipot.train._schedule import EpochSchedule, lightning_scheduler
from equipot.train._signals import Interruption
from equipot.train.options import EMAOptions, LightningModuleOptions, TrainingOptions


class LightningModule(Configurable, lightning.LightningModule, options=LightningModuleOptions):
    """Trains a model; validation, test and stored results use its current weights, or their average if there is one.

    Logged names: ``train_loss_step/…`` and ``train_loss_epoch/…`` (terms of the loss),
    ``train_metric_epoch/…``, ``val0_epoch/…`` and ``test0_epoch/…`` (metrics of each set).
    """

    options: TrainingOptions

    def __post_init__(self) -> None:
        """Build the model, and check that loss, metrics and parts fit to it."""
        super().__post_init__()
        given = self.options
        self.model = given.model if isinstance(given.model, GraphModel) else given.model.build()
        self.loss = given.loss
        self.train_metrics = given.train_metrics
        self.val_metrics = given.val_metrics
        self.test_metrics = given.val_metrics if given.test_metrics is None else given.test_metrics
        self.average = given if isinstance(given, WeightAverage) else getattr(given, "average", None)
        self.gradients = given if isinstance(given, GradientCombination) else getattr(given, "gradients", None)
        self.training_config: dict[str, Any] = {}
        self.data_record: dict[str, Any] = {}
        self.tell: Callable[[str], None] = say
        self.automatic: AutomaticModifiers | None = None
        self._terms: dict[str, torch.Tensor] = {}
        self._evaluations: torch.nn.ModuleList = torch.nn.ModuleList()
        self._copies: dict[Measure, list[Measure]] = {}
        self._epoch_schedule: EpochSchedule | None = None
        self._epochs_closed = 0
        self._validated = -1
        self._recorded: tuple[Any, ...] = ()
        self._record: dict[str, Any] | None = None
        self._saved_loop: dict[str, Any] = {}
        self._resumed: LoopPosition | None = None
        self.stays_stopped = True
        self.interruption = Interruption()
        self._check_parts()
        for measure in dict.fromkeys((self.loss, self.train_metrics, self.val_metrics, self.test_metrics)):
            if measure is not None:
                measure.bind(self.model.info.type_names)
        self.model.train()
        self.ema = None if self.average is None else copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        if self.average is not None:
            self.average.start_average(self)

    def _check_parts(self) -> None:
        """Refuse labels that the model does not predict, and combined gradients without a loss."""
        problems = []
        for name in ("loss", "train_metrics", "val_metrics", "test_metrics"):
            measure = getattr(self, name)
            missing = [label for label in getattr(measure, "labels", ()) if label not in self.model.info.outputs]
            if missing:
                what = f"needs {' and '.join(missing)}, which the model does not predict"
                hint = f"it predicts {', '.join(self.model.info.outputs)}"
                if set(missing) <= set(DERIVATIVES):
                    hint = "take an EnergyOnly class, or do_derivatives: true"
                problems.append(problem(f"training_module.{name}", what, hint=hint))
        if self.gradients is not None and self.loss is None:
            where = f"{type(self).__name__}.loss"
            problems.append(problem(where, "required option is missing", hint="a loss with coefficients"))
        if problems:
            raise ConfigError(problems)

    @property
    def evaluation_model(self) -> GraphModel:
        """The model that validation, test and stored results use: with the averaged weights if there is an average."""
        return self.model if self.ema is None else self.ema

    def forward(self, batch: Graph) -> Graph:
        """Predict with the evaluation model."""
        outputs: Graph = self.evaluation_model(batch)
        return outputs

    def setup(self, stage: str) -> None:
        """Apply the automatic modifiers, once, now that the device is known, and say what was chosen."""
        if self.automatic is None:
            device, enabled = self.trainer.strategy.root_device, self.options.automatic_modifiers
            self.model, self.automatic = apply_automatic(self.model, device, enabled=enabled)
            if self.ema is not None:
                self.ema, _ = apply_automatic(self.ema, device, enabled=enabled)
                self.ema.evaluator = self.model.evaluator  # one for both says everything once
            if self.automatic.line:
                self.tell(self.automatic.line)
        for model in (self.model, self.evaluation_model):
            if model.evaluator is not None:
                model.evaluator.tell = self.tell
                if stage == TrainerFn.FITTING:
                    model.evaluator.begin_training()

    # --------------------------------------------------------------- training

    def on_fit_start(self) -> None:
        """Refuse callbacks that swap the model's weights; collect the tensors again, as they may have been replaced."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if swaps_weights(type(callback)):
                hint = "use equipot.train.EMALightningModule for averaged weights"
                what = f"{type(callback).__name__} swaps the model's weights"
                raise ConfigError(problem("trainer.callbacks", what, hint=hint))
        for name in ("parameter_pairs", "_buffer_pairs", "_trained"):
            self.__dict__.pop(name, None)

    def training_step(self, batch: Graph, batch_idx: int) -> torch.Tensor:
        """The weighted sum of the loss's terms for a batch.

        Raises:
            DataError: If it is not finite; the message names the step and the frames.
        """
        if self.loss is None:
            raise ConfigError(problem("training_module.loss", "required option is missing", hint="training needs it"))
        outputs = self._trained(batch)
        terms = self.loss(outputs, batch)
        total: torch.Tensor = terms[WEIGHTED_SUM]
        if not bool(torch.isfinite(total)):
            raise DataError(not_finite(terms, outputs, batch, self.global_step, batch_idx))
        self._terms = terms if self.gradients is not None else {}
        self._show_terms(terms, batch, batch_idx)
        if self.train_metrics is not None:
            self.train_metrics.update(outputs, batch)
        return total

    @cached_property
    def _trained(self) -> GraphModel:
        """The model, without the derivatives if neither loss nor metrics read one: they take most of the time."""
        read = [None if one is None else one.predictions for one in (self.loss, self.train_metrics or self.loss)]
        derived = () if self.model.derivatives is None else self.model.derivatives.provides
        if not derived or any(one is None or not set(derived).isdisjoint(one) for one in read):
            return self.model
        return self.model.replace(derivatives=None)

    def _show_terms(self, terms: Mapping[str, torch.Tensor], batch: Graph, batch_idx: int) -> None:
        """Pass the terms to callbacks now, and to loggers and the progress bar only in the steps they use.

        Lightning's ``log`` takes over a millisecond for them; a step of a small model takes little longer.
        """
        trainer = self.trainer
        shown = {f"train_loss_step/{name}": value.detach() for name, value in terms.items()}
        if trainer.world_size > 1:  # each process has its part of the mean over the batches of all
            parts = torch.stack([value.to(torch.float64) for value in shown.values()])
            shown = dict(zip(shown, trainer.strategy.reduce(parts, reduce_op="mean"), strict=True))
        total = shown[f"train_loss_step/{WEIGHTED_SUM}"]
        trainer.callback_metrics.update({**shown, "loss": total})
        every = getattr(trainer, "log_every_n_steps", 0)
        if every and (self.global_step + 1) % every == 0:
            self.log_dict(shown, on_step=True, on_epoch=False, batch_size=num_frames(batch))
        bar: Any = trainer.progress_bar_callback
        refreshed = bar is not None and (batch_idx + 1) % max(getattr(bar, "refresh_rate", 1), 1) == 0
        if bar is not None and bar.is_enabled and (refreshed or trainer.is_last_batch):
            self.log("loss", total, prog_bar=True, logger=False, on_step=True, batch_size=num_frames(batch))

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Differentiate with respect to the parameters only; gradients of positions and cells are not needed."""
        if self.gradients is not None:
            terms, self._terms = self._terms, {}
            self.gradients.combine_gradients(self, terms)
            return
        if self.trainer.world_size == 1:
            groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
            trained = [parameter for group in groups for parameter in group["params"]]
            kwargs["inputs"] = [parameter for parameter in trained if parameter.requires_grad]
        loss.backward(*args, **kwargs)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients with the trainer's limit, or with that of the combination of gradients."""
        limit = (gradient_clip_val, gradient_clip_algorithm)
        self.clip_gradients(optimizer, *(limit if self.gradients is None else self.gradients.clipping(*limit)))

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Drop the gradients; torch's own method, unless it is overridden, records a profile of it."""
        if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
            optimizer.zero_grad()
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, then move the average."""
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged parameters; copy the buffers."""
        if self.average is not None:
            self.average.move_average(self)
            torch._foreach_copy_(*self._buffer_pairs)

    @cached_property
    def parameter_pairs(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Averaged and current parameters in the same order, cached: collecting them takes longer than averaging."""
        return list(self.evaluation_model.parameters()), list(self.model.parameters())

    @cached_property
    def _buffer_pairs(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return list(self.evaluation_model.buffers()), list(self.model.buffers())

    def on_train_start(self) -> None:
        """Check the combination of gradients, and continue a resumed run where it was."""
        if self.gradients is not None:
            self.gradients.check_trainer(self)
        self.interruption.start()
        self.resume_loops()

    def on_train_batch_end(self, outputs: Any, batch: Graph, batch_idx: int) -> None:
        """End the run here if a signal asks for it."""
        self.interruption.check(self.trainer)

    def on_validation_batch_end(self, outputs: Any, batch: Graph, batch_idx: int, dataloader_idx: int = 0) -> None:
        """End the run here if a signal asks for it; the validation is begun again on resume."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.interruption.check(self.trainer)

    def resume_loops(self) -> None:
        """Put loops, loader and logged metrics where the checkpoint was; once, by whoever is first."""
        saved, self._saved_loop = self._saved_loop, {}
        if not saved:
            return
        loader: Any = self.trainer.train_dataloader
        state, at = saved["loader"], saved["position"]
        if state and hasattr(loader, "load_state_dict"):
            # "since" counts the batches of an epoch, which limit_train_batches can end before the loader does
            loader.load_state_dict(state if at["batch"] and not at["whole"] else {**state, "since": 0})
        metrics = {key: torch.as_tensor(value, device=self.device) for key, value in saved["metrics"].items()}
        self.trainer.callback_metrics.update(metrics)
        self._resumed = LoopPosition(at, stop=self.stays_stopped)
        self._resumed.restore(self.trainer)

    def close_resumed_epoch(self) -> None:
        """Leave the special state in which a resumed run comes to the end of its epoch."""
        if self._resumed is not None:
            self._resumed.close_epoch(self.trainer)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss and metrics, and step the schedule."""
        self.close_resumed_epoch()
        prefixes = {"loss": "train_loss_epoch", "train_metrics": "train_metric_epoch"}
        self._log_values({prefixes[name]: measure.epoch_values() for name, measure in self._training_measures()})
        if self.trainer.is_last_batch:
            self._close_epoch()

    def _close_epoch(self) -> None:
        """Step the schedule and reset the sums, once at the end of each epoch."""
        if self._epoch_schedule is not None:
            self._epoch_schedule.step(self._epochs_closed, self.trainer.callback_metrics, self._validate_now)
        self._epochs_closed += 1
        for _, measure in self._training_measures():
            measure.reset()

    def configure_optimizers(self) -> Any:
        """The optimizer of the trainable parameters, and the scheduler.

        Raises:
            ConfigError: If there is no optimizer or no trainable parameter.
        """
        if self.options.optimizer is None:
            place = "training_module.optimizer"
            raise ConfigError(problem(place, "required option is missing", hint="training needs it"))
        parameters = [(name, one) for name, one in self.model.named_parameters() if one.requires_grad]
        if not parameters:
            raise ConfigError(problem("training_module.model", "has no trainable parameter"))
        optimizer = self.options.optimizer(params=parameters, **in_one_pass(self.options.optimizer, parameters))
        if self.average is not None:
            self.average.prepare_optimizer(optimizer)
        given = getattr(self.options, "lr_scheduler", None)
        if given is None:
            return optimizer
        options = dict(given) if isinstance(given, Mapping) else {"scheduler": given}
        made = options.pop("scheduler")(optimizer=optimizer)
        scheduler, self._epoch_schedule = lightning_scheduler(made, options)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # ------------------------------------------------------------- evaluation

    def on_validation_epoch_start(self) -> None:
        """Start the metrics of each validation set."""
        self._start(self.val_metrics, self.trainer.val_dataloaders)

    def on_test_epoch_start(self) -> None:
        """Start the metrics of each test set."""
        self._start(self.test_metrics, self.trainer.test_dataloaders)

    def _start(self, metrics: Measure | None, loaders: Any) -> None:
        count = len(loaders) if isinstance(loaders, (list, tuple)) else 1
        copies = [] if metrics is None else self._copies.setdefault(metrics, [])
        while metrics is not None and len(copies) < count:
            copies.append(_copied(metrics))
        for one in copies:
            one.to(self.device).reset()
        self._evaluations = torch.nn.ModuleList(copies[:count])

    def _validate_now(self) -> dict[str, torch.Tensor]:
        """Metrics of the validation sets, outside Lightning's loop."""
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        loaders = datamodule.val_dataloader() if datamodule is not None else []
        self.eval()
        self._start(self.val_metrics, loaders)
        for index, loader in enumerate(loaders):
            for batch in loader:
                self._evaluate(self.trainer.strategy.batch_to_device(batch, self.device), index)
        values = {
            f"val{index}_epoch/{name}": value
            for index, metrics in enumerate(self._evaluations)
            for name, value in metrics.epoch_values().items()  # type: ignore[operator]
        }
        self._evaluations = torch.nn.ModuleList()
        self.train()
        return values

    def validation_step(self, batch: Graph, batch_idx: int, dataloader_idx: int = 0) -> Graph:
        """Add a batch to the metrics of its set, and return the predictions for callbacks."""
        return self._evaluate(batch, dataloader_idx)

    test_step = validation_step

    def _evaluate(self, batch: Graph, index: int) -> Graph:
        outputs: Graph = self.evaluation_model(batch)
        if index < len(self._evaluations):
            self._evaluations[index].update(outputs, batch)  # type: ignore[operator]
        return outputs

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of each validation or test set."""
        stage = "test" if self.trainer.testing else "val"
        sets: list[Any] = list(self._evaluations)
        self._log_values({f"{stage}{index}_epoch": one.epoch_values() for index, one in enumerate(sets)})
        self._evaluations = torch.nn.ModuleList()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._validated = trained_batches(self.trainer)

    on_test_epoch_end = on_validation_epoch_end

    def _log_values(self, values: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Log values of an epoch, by prefix, that are already the same on all processes.

        While a model is fitted they go to callbacks and loggers at once: Lightning's ``log`` takes about a millisecond
        for each.
        """
        named = {f"{key}/{name}": value.to(self.device) for key, held in values.items() for name, value in held.items()}
        if self.trainer.state.fn != TrainerFn.FITTING or self.trainer.sanity_checking:
            self.log_dict(named, on_step=False, on_epoch=True, batch_size=1, sync_dist=self.trainer.world_size > 1)
        elif named:
            log_epoch(self.trainer, named)

    # ------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the model's config and the position in the epoch, in plain containers."""
        given = (self.model, "raw" if self.ema is None else "ema", self.training_config, self.data_record)
        same = all(one is other for one, other in zip(given, self._recorded, strict=False))
        self._record = checkpoint_record(*given, earlier=self._record if same else None)
        self._recorded, record = given, dict(self._record)
        record["automatic_modifiers"] = {} if self.automatic is None else self.automatic.to_dict()
        record["loop"] = {
            "epochs_closed": self._epochs_closed,
            "metrics": {key: value.detach().cpu().clone() for key, value in self.trainer.callback_metrics.items()},
            "loader": loader_state(self.trainer),
            "measures": {name: measure.state() for name, measure in self._training_measures()},
            "position": position(self.trainer, self._validated),
        }
        checkpoint["equipot"] = record

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue inside the epoch: restore the sums of loss and metrics, and what is due at the epoch's end."""
        record = checkpoint.get("equipot", {})
        loop = record.get("loop", {})
        before = record.get("automatic_modifiers")
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        if self.automatic is not None and before is not None and fitting and (text := self.automatic.change(before)):
            self.tell(text)
        self._epochs_closed = int(loop.get("epochs_closed", 0))
        self._validated = -1
        if "position" in loop:
            checkpoint.pop("loops", None)  # Lightning's own, which it would restore wrongly
            self._validated = loop["position"]["batches"] if loop["position"]["validated"] else -1
            self._saved_loop = loop if fitting else {}
        for name, measure in self._training_measures():
            measure.load_state(loop.get("measures", {}).get(name, {}))

    def _training_measures(self) -> list[tuple[str, Measure]]:
        """Loss and metrics that are accumulated over a training epoch."""
        named = (("loss", self.loss), ("train_metrics", self.train_metrics))
        return [(name, measure) for name, measure in named if measure is not None]


class EMALightningModule(LightningModule, options=EMAOptions):
    """Trains a model and keeps the exponential moving average of its weights, which is used for results.

    After the n-th optimizer step (n from 0) the average moves towards the weights by 1 - d with
    d = min(ema_decay, (1 + n) / (10 + n)); buffers are copied. The average is a second model; weights are not swapped.
    """


def _copied(metrics: Measure) -> Measure:
    """A copy without hooks: a profiler registers some that cannot be copied."""
    hooks = [
        held
        for module in metrics.modules()
        for held in (module._forward_hooks, module._forward_pre_hooks)  # noqa: SLF001 - torch has no other way
    ]
    return copy.deepcopy(metrics, {id(held): OrderedDict() for held in hooks})
