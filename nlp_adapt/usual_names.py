"""What other programs call our options, and why some of theirs are none of ours.

One table serves recipes, the command line and Python. Names that stand in it are refused all the
same: an option has one name, which a recipe can be searched for.
"""

import difflib
from collections.abc import Sequence

_CALLED = {
    "output_dir": "output out out_dir save_dir save_path output_path results_dir checkpoint_dir",
    "task": "task_name task_type problem_type",
    "method": "adaptation_method algorithm approach",
    "num_train_epochs": "epoch epochs num_epochs n_epochs max_epochs train_epochs",
    "max_steps": "steps num_steps max_train_steps num_train_steps num_training_steps total_steps",
    "per_device_eval_batch_size": "eval_batch_size val_batch_size test_batch_size "
    "per_gpu_eval_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation grad_accum grad_accum_steps accum_steps "
    "accumulate_grad_batches",
    "learning_rate": "lr learn_rate encoder_lr",
    "head_learning_rate": "head_lr lr_head classifier_lr classifier_learning_rate",
    "discriminator_learning_rate": "discriminator_lr disc_lr",
    "weight_decay": "wd l2 decay",
    "optim": "optimizer optimizer_type",
    "optim_args": "optimizer_kwargs optimizer_args",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "adam_epsilon": "eps epsilon adam_eps",
    "lr_scheduler_type": "scheduler scheduler_type lr_scheduler lr_schedule schedule",
    "lr_scheduler_kwargs": "scheduler_kwargs scheduler_specific_kwargs lr_scheduler_args",
    "warmup_steps": "warmup num_warmup_steps",
    "max_grad_norm": "grad_clip clip_grad clip_grad_norm gradient_clip_val gradient_clipping "
    "max_norm clip_norm",
    "label_smoothing_factor": "label_smoothing smoothing",
    "ema_decay": "ema ema_rate",
    "layer_decay": "llrd layerwise_lr_decay layer_lr_decay layerwise_learning_rate_decay",
    "lora": "use_lora peft use_peft",
    "lora_r": "r rank lora_rank lora_dim",
    "lora_targets": "target_modules lora_target_modules",
    "max_length": "max_len maxlen max_seq_len max_seq_length seq_len seq_length sequence_length "
    "model_max_length max_sequence_length block_size",
    "validation_fraction": "val_size dev_size val_split validation_split",
    "precision": "mixed_precision amp use_amp half half_precision dtype torch_dtype fp32",
    "bf16": "use_bf16",
    "fp16": "use_fp16",
    "attn_implementation": "attention use_flash_attention use_flash_attention_2 flash_attention",
    "gradient_checkpointing": "grad_checkpointing use_gradient_checkpointing activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
    "torch_compile": "compile",
    "seed": "random_seed random_state manual_seed",
    "eval_strategy": "evaluation_strategy",
    "eval_steps": "eval_every eval_interval evaluate_every validation_steps",
    "logging_steps": "log_steps log_every log_interval",
    "save_steps": "save_every save_interval checkpoint_every checkpointing_steps",
    "save_total_limit": "save_limit keep_checkpoints",
    "load_best_model_at_end": "load_best_model save_best save_best_model restore_best",
    "metric_for_best_model": "metric metric_name best_metric",
    "report_to": "report logger trackers tensorboard wandb use_wandb",
    "disable_tqdm": "quiet no_progress no_progress_bar",
    "overwrite": "overwrite_output_dir force",
    "push_to_hub": "push",
    "hub_model_id": "repo repo_id hub_repo",
    "hub_private_repo": "private hub_private",
    "hub_license": "license",
    "hub_language": "lang language languages",
    "model": "model_name model_name_or_path pretrained_model_name_or_path pretrained_model "
    "model_id model_path base_model bert_model encoder backbone checkpoint",
    "source": "src source_file source_data source_path source_domain source_dataset train "
    "train_file train_data train_path train_dataset",
    "target": "tgt target_file target_data target_path target_domain target_dataset "
    "unlabeled unlabeled_file unlabeled_data unlabelled_data",
    "text_column": "text_col text_field text_column_name sentence_column",
    "label_column": "label_col label_field label_column_name labels_column",
    "label_map": "id2label label_mapping labels_map",
}
_SAID = {
    "batch_size train_batch_size per_device_batch_size per_gpu_train_batch_size bs": (
        "here it is per_device_train_batch_size, which counts the rows of each domain: a step sees "
        "twice as many"
    ),
    "warmup_ratio warmup_proportion": (
        "here it is warmup_steps, where a number below 1 is a share of the steps"
    ),
    "resume_from_checkpoint": (
        "here it is resume, or an argument of train(): a run goes on from its newest checkpoint"
    ),
    "do_train do_eval do_predict": (
        "no such switch: train, evaluate and predict are commands, and methods of the trainer"
    ),
    "early_stopping early_stopping_patience early_stopping_threshold patience": (
        "give AdaptationTrainer transformers' EarlyStoppingCallback in callbacks; "
        "load_best_model_at_end keeps the best weights"
    ),
    "greater_is_better": "each label-free score knows which way is better: leave it out",
    "label2id": "here it is label_map, the other way round: raw label to name",
    "num_labels num_classes n_classes label_list label_names labels": (
        "the labels are those of the data: leave it out"
    ),
    "validation_file eval_file dev_file test_file test_data test_path": (
        "name labelled rows with source_test or target_test, by the domain that they are from"
    ),
    "dataset dataset_name dataset_config_name data data_dir data_files": (
        "name the two domains with source and target: files, folders, or Hub ids such as "
        "name:config/split"
    ),
    "max_train_samples max_samples num_train_samples": (
        "here they are max_source_rows and max_target_rows"
    ),
    "max_eval_samples max_predict_samples": "all labelled test rows are scored: leave it out",
    "tokenizer tokenizer_name use_fast_tokenizer": (
        "the model brings its tokenizer; another is given to AdaptationTrainer as processing_class"
    ),
    "padding pad_to_max_length truncation": (
        "rows are cut at max_length and padded to the longest of their batch: leave it out"
    ),
    "dataloader_num_workers num_workers workers dataloader_pin_memory dataloader_drop_last "
    "dataloader_prefetch_factor dataloader_persistent_workers dataloader_multiprocessing_context "
    "dataloader_in_order group_by_length remove_unused_columns": (
        "rows are tokenised before training and need no loader: leave it out"
    ),
    "trust_remote_code": "code that comes with a model or with data is never run: leave it out",
    "token use_auth_token hub_token hf_token api_token": (
        "log in with `hf auth login` or HF_TOKEN, since a run writes its options down"
    ),
    "data_collator": "a batch pairs the rows of both domains, which the trainer does itself",
    "model_init": "the model is made anew for each of a run's two models: give its name as model",
    "compute_loss_func": "losses are objectives: write one, and name it in stages or options",
    "preprocess_logits_for_metrics": "logits are small here, and given whole: leave it out",
    "cache_dir": "set HF_HOME in the environment",
    "device devices gpu gpus n_gpu no_cuda cpu use_mps_device": (
        "a GPU is used where there is one; CUDA_VISIBLE_DEVICES in the environment chooses or hides it"
    ),
    "local_rank nproc_per_node num_processes": "start it with `accelerate launch` or torchrun",
    "deepspeed": "DeepSpeed is not supported: set fsdp",
    "fsdp_config": "fsdp: true is all there is to set",
    "logging_dir": "logs are in output_dir: leave it out",
    "save_only_model": "a checkpoint is there to resume from, which takes the optimizer's state too",
    "hub_strategy": "a run is pushed when it ends, with its results: set push_to_hub",
    "load_in_4bit load_in_8bit quantization_config bnb_config": (
        "adapters learnt on rounded weights would be opened on the exact ones: leave it out, and see lora"
    ),
    "save_safetensors": "weights are always saved as safetensors: leave it out",
    "dropout hidden_dropout_prob attention_dropout classifier_dropout": (
        "the encoder's dropout is that of its configuration; see discriminator_dropout and "
        "lora_dropout"
    ),
    "freeze_encoder freeze_base freeze_backbone freeze_layers num_frozen_layers": (
        "here it is freeze: none, embeddings, all, or how many layers"
    ),
    "lambda lambda_ lambd grl_lambda grl_alpha trade_off tradeoff adversarial_weight": (
        "lambda_max is the strength of the gradient reversal, options.NAME.weight the weight of an "
        "objective"
    ),
    # Of transformers.TrainingArguments, which says them as well.
    "optim_target_modules": ("no optimizer here works on chosen modules: see freeze and lora"),
    "average_tokens_across_devices": ("losses count rows, which every process has as many of"),
    "bf16_full_eval fp16_full_eval": (
        "final scores are in float32; nlp-adapt evaluate has --precision"
    ),
    "use_liger_kernel liger_kernel_config": (
        "its kernels are for language models' large vocabularies: leave it out"
    ),
    "use_cache": ("a classifier keeps no cache of earlier tokens: leave it out"),
    "neftune_noise_alpha": ("noise on embeddings is an objective: see fgm, pgd and vat"),
    "torch_empty_cache_steps": "a step never empties the cache: lower per_device_train_batch_size",
    "auto_find_batch_size": (
        "batches of two domains have a set size: lower per_device_train_batch_size, and raise gradient_accumulation_steps"
    ),
    "logging_nan_inf_filter": ("a step whose loss is not finite is skipped, and its line says so"),
    "include_num_input_tokens_seen include_tokens_per_second": "log.jsonl counts tokens_per_second",
    "trackio_space_id trackio_bucket_id trackio_static_space_id": (
        "trackers are told project and run_name alone: leave it out"
    ),
    "eval_delay": ("scores come from the first eval_steps on: leave it out"),
    "prediction_loss_only eval_do_concat_batches eval_use_gather_object eval_accumulation_steps batch_eval_metrics": (
        "scores are computed on whole arrays: leave it out"
    ),
    "include_for_metrics include_inputs_for_metrics": "compute_metrics is given logits and labels",
    "save_on_each_node": ("the main process writes: output_dir lies where every node reads"),
    "enable_jit_checkpoint": ("a signal always saves a checkpoint before the run leaves"),
    "hub_always_push": ("a run is pushed once, when it ends"),
    "ignore_data_skip": ("a resumed run always goes on with the next row"),
    "restore_callback_states_from_checkpoint": ("a resumed run always restores callbacks"),
    "accelerator_config": ("Accelerate is configured by `accelerate launch`"),
    "parallelism_config": ("DDP and fsdp are all there is"),
    "train_sampling_strategy": (
        "rows are shuffled, and pairs of domains are drawn as a method needs"
    ),
    "length_column_name": ("lengths are counted as rows are tokenised: leave it out"),
    "ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph": (
        "DDP needs no such setting here: leave it out"
    ),
    "ddp_backend": ("it follows from the device: leave it out"),
    "debug": ("there is no such switch: --debug of the commands shows tracebacks"),
    "skip_memory_metrics": ("results.json says what a run needs: leave it out"),
    "torchdynamo": ("set torch_compile_backend"),
    "jit_mode_eval": ("nlp-adapt export serves without PyTorch"),
    "half_precision_backend fp16_opt_level fp16_backend": ("precision says all there is"),
    "log_level log_level_replica log_on_each_node mp_parameters tpu_num_cores deepspeed_plugin": (
        "it would change nothing here: leave it out"
    ),
}
# Flags of commands beside `train`, tried where the recipe's keys are no flags of the command.
_FLAGS = {
    "out": "output output_file output_path out_file outfile save_path destination",
    "output_dir": "out output folder",
    "data": "test_file eval_file test_data eval_data dataset input input_file file test target_test",
    "text": "sentence sentences string prompt",
    "overwrite": "force yes replace overwrite_output overwrite_output_dir",
    "batch_size": "per_device_eval_batch_size eval_batch_size bs batch",
    "all_scores": "return_all_scores top_k probabilities proba scores",
    "text_column": "text_col text_field column",
    "device": "gpu cuda",
    "repo": "repo_id hub_model_id repository",
    "private": "hub_private_repo",
    "revision": "branch",
    "target": "unlabeled unlabelled tgt",
    "examples": "rows n",
    "copy": "out output save",
    "dry_run": "dryrun check validate_only plan",
    "print_config": "show_config dump_config config_only",
    "json": "format as_json",
    "debug": "verbose traceback v",
}
USUAL_NAMES = {name: ours for ours, names in _CALLED.items() for name in names.split()} | {
    name: sentence for names, sentence in _SAID.items() for name in names.split()
}
# What is no option of a recipe's, and where Python is given it.
_GIVEN = ("callbacks", "compute_metrics", "eval_dataset", "processing_class")
_BESIDE = dict.fromkeys(("model", "source", "target", "target_few_shot"), "AdaptationTrainer")
_BESIDE |= dict.fromkeys(("text_column", "label_column", "label_map"), "load_domain")


def hint(name: str, known: Sequence[str]) -> str:
    """What an unknown option is called here, why there is none, or the nearest that there is.

    Args:
        name: As it was given, with the dashes of a flag if `known` has them.
    """
    flag = "--" if name.startswith("--") else ""
    own = name.lower().strip("-").replace("-", "_")
    if own in _GIVEN and name not in known:
        return f": {own} is given to AdaptationTrainer, from Python"
    meant = USUAL_NAMES.get(own, own)
    if " " in meant and (not flag or "--config" in known):
        return f": {meant}"
    if meant != own and f"{flag}{meant}" in known:
        return f": here it is {flag}{meant}"
    for ours, names in _FLAGS.items() if flag else ():
        if own in names.split() and f"--{ours}" in known:
            return f": here it is --{ours}"
    if meant in _BESIDE and not flag:
        return f": {meant} is given to {_BESIDE[meant]}"
    return nearest(name, known)


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint such as `; did you mean 'seed'?`, or an empty string."""
    by_key = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_key, n=1)
    return f"; did you mean '{by_key[close[0]]}'?" if close else ""
