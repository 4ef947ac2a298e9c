-- The faults that lint looks for, and what public projects paid for them.  check is a function
-- (look, found, left) of lint_NAME.lua beside this: found(x, text, ...) with the mixture x (or nil)
-- and what was measured; left(text, ...) says why it could not look.  quick: it is looked for in
-- each training as well (lint.watch).  Sources: the public threads and papers that each row names.

return {
  {id = "router_untaught", quick = true, check = "gradients.untaught",
   what = "the language model's loss does not reach the router",
   cost = "the router learns nothing of the text: Megatron-LM 894 has loss 2.649, that of the "
     .. "dense model, and 2.452 with the gradient",
   advice = "with top_k = 1 let the gate be the score itself: gates = p:gather(-1, experts) of "
     .. "p = logits:softmax(-1), no softmax over the chosen, no division by their sum, no "
     .. "rounding on the way"},
  {id = "scores_twice", quick = true, check = "scores.twice",
   what = "scores are normalised twice",
   cost = "a softmax of a softmax gives each of E experts at least 1 / (e + E - 1), however sure "
     .. "the router is; transformers 45120 balanced by such scores",
   advice = "take scores = logits:softmax(-1) once, and gates from them by gather, not by another "
     .. "softmax"},
  {id = "scores_of_chosen", check = "losses.of_chosen",
   what = "the balance loss takes the chosen experts' scores alone",
   cost = "an expert that nobody chooses gets no gradient, so nothing brings it back (nanoMoE)",
   advice = "give scores over all E experts, and let P be their mean: scores = logits:softmax(-1)"},
  {id = "scores_shrink", quick = true, check = "scores.shrink",
   what = "scores do not sum to 1, so the balance loss falls as they shrink",
   cost = "the router makes all scores small instead of even (Megatron-LM 1545, OLMo-core 255)",
   advice = "scores = s / (s:sum(-1, true) + 1e-20): an epsilon that no score comes near"},
  {id = "load_after_drop", check = "counts.after_drop",
   what = "the balance loss counts loads after the drop",
   cost = "a full expert looks no fuller than its slots, so nothing makes it less full",
   advice = "count routing.experts (or ctx:load()), which are before any drop, not routing.placed"},
  {id = "padding_counted", check = "counts.padding",
   what = "padding is counted",
   cost = "loads, losses and slots go by tokens that are none (transformers 28505, Megatron-LM "
     .. "1984)",
   advice = "call nn.padding(batch.documents) in the model's function, and take means by "
     .. "ctx:mean(x), loads by ctx:load()"},
  {id = "no_balance", check = "losses.none",
   what = "nothing keeps the experts' loads even",
   cost = "a router left to itself collapses to few experts (torchtitan 1246: all tokens to one)",
   advice = "balance = {aux = 0.01}, or a router that balances by itself (deepseek_v3, quantile); "
     .. "in a run r.aux = 0.01"},
  {id = "loss_inert", quick = true, check = "losses.inert",
   what = "an auxiliary loss has no gradient at the router",
   cost = "it is in the numbers and changes nothing (transformers 44242, Megatron-LM 1617: always "
     .. "1.0)",
   advice = "the loss must have the scores in it, not counts alone: E * sum of f_e P_e with P the "
     .. "mean of the scores"},
  {id = "loss_pooled", check = "losses.pooled",
   what = "the balance loss pools the layers",
   cost = "layers that are uneven in opposite ways look even (transformers 28255, 31464)",
   advice = "one nn.loss for each layer, within it; what is added is balanced layer by layer"},
  {id = "loss_by_micro_batches", check = "counts.by_micro_batches",
   what = "an auxiliary loss depends on the number of micro-batches",
   cost = "with accumulate = n it weighs another than was asked for (transformers 48690, "
     .. "Megatron-LM 3672)",
   advice = "give nn.loss the micro-batch's own mean; the step takes the mean of them"},
  {id = "validation_loss", check = "run.validation",
   what = "the loss that evaluations report is not the cross entropy alone",
   cost = "curves are compared by a number that has the router's own losses in it, and a change of "
     .. "a coefficient looks like progress",
   advice = "give auxiliary losses to nn.loss, which is of training alone, and never add them to "
     .. "what the model's function returns"},
  {id = "uniform", quick = true, check = "scores.uniform",
   what = "the router is exactly uniform although it was trained",
   cost = "all experts are chosen by ties: 10,000 steps passed so unnoticed (codhelabs 2026)",
   advice = "begin with weights that differ, ctx:logits{init = 0.02}, and see that the loss "
     .. "reaches them"},
  {id = "bias_drifts", quick = true, check = "bias.drifts",
   what = "the bias is not centred, or grows without bound",
   cost = "float resolution goes to the common part (GLM-5.2: biases from 6.817 to 7.063 leave 8 "
     .. "values of 238 in bf16; sglang 37133)",
   advice = "balance = {recentre = true}, or nn.update(bias, now - now:mean())"},
  {id = "bias_coarse", check = "bias.coarse",
   what = "the bias is in low precision",
   cost = "small steps are rounded away, and neighbours become equal (sglang 31213, vllm 50761: "
     .. "98.5% of the tokens change experts)",
   advice = "keep the bias in f32: no cast \"bf16\" in what nn.update is given"},
  {id = "evaluation_moves", check = "bias.evaluation",
   what = "an evaluation changes the model's state",
   cost = "held-out tokens steer the router, and two evaluations differ (torchtitan 4148)",
   advice = "nn.update alone, which training performs, and nothing else that writes a state"},
  {id = "bias_jumps", check = "bias.jumps",
   what = "one step of the bias moves most tokens",
   cost = "loads swing from one side to the other (Arcee Trinity: oscillation, rising MaxVio, "
     .. "collapse)",
   advice = "a smaller gamma: balance = {gamma = 1e-3}; in a run r.gamma = 1e-3"},
  {id = "bias_slow", check = "bias.slow",
   what = "the bias is too slow for how uneven the loads are",
   cost = "it would take longer than any training to move a token",
   advice = "a larger gamma, of the order of margins / 1000: balance = {gamma = 1e-3}"},
  {id = "loads_swing", quick = true, check = "run.swing",
   what = "an expert's load goes from one side to the other at every step",
   cost = "what balances overshoots: experts learn from every other step (Arcee Trinity: rising "
     .. "MaxVio, collapse)",
   advice = "a smaller gamma, r.gamma = 1e-3, or a bias with momentum: balance = {kind = "
     .. "\"tanh\"}"},
  {id = "router_coarse", check = "scores.coarse",
   what = "the router computes in low precision",
   cost = "near ties fall otherwise than in fp32 (sglang 38695: 12.6 points of SWE-bench; "
     .. "megablocks 91)",
   advice = "ctx:logits() and ctx:linear(x, w) are in fp32 whatever the experts are; no cast "
     .. "\"bf16\" on logits or scores"},
  {id = "experts_by_lot", check = "scores.by_lot",
   what = "experts differ when the same tokens are computed again",
   cost = "evaluation has noise in it, and what is recomputed is not what was learned from "
     .. "(NeMo Automodel 2635, 3156)",
   advice = "draw in training alone: if ctx.mode == \"train\" then logits = logits + noise end"},
  {id = "loss_not_finite", check = "gradients.finite",
   what = "a gradient is not finite where loads are exactly even",
   cost = "one perfectly balanced batch ends the run: the gradient of a standard deviation at 0",
   advice = "the square of the coefficient of variation: variance / mean^2, not its root"},
  {id = "dead", quick = true, check = "loads.dead",
   what = "experts get no tokens",
   cost = "their parameters are memory without use",
   advice = "r.layers[l].experts[e]:reset(), a larger aux or gamma, or fewer experts"},
  {id = "collapse", quick = true, check = "loads.collapse",
   what = "nearly all tokens go to as few experts as there can be",
   cost = "the mixture is a dense layer that pays for its experts (torchtitan 1246)",
   advice = "r.aux = 0.01 (or a bias by gamma), then reset() what is dead"},
  {id = "capacity_ignored", check = "loads.ignored",
   what = "a capacity is set and not enforced",
   cost = "memory and time go by the fullest expert, and the run is another than was described "
     .. "(transformers 48293, 37017)",
   advice = "hand it to the layer: nn.moe(x, {capacity = cfg.capacity, ...}); it admits at most "
     .. "ceil(c N K / E) a group"},
  {id = "mostly_dropped", quick = true, check = "loads.dropped",
   what = "most assignments are dropped",
   cost = "dropped tokens learn nothing in this layer (DeepSpeed 7986: 0.0059 of them were kept)",
   advice = "a larger capacity (1.25 of the fair share is usual), or none"},
  {id = "dropped_passed", check = "loads.passed",
   what = "a dropped token is passed on as gate times itself",
   cost = "the residual stream carries it already, so it counts twice (transformers 37123)",
   advice = "a dropped token's output is 0: no plus = for tokens without an expert"},
  {id = "experts_still", quick = true, check = "gradients.still",
   what = "experts that have tokens get no gradient",
   cost = "they stay as they were drawn, unnoticed (peft 3009, Automodel 1151)",
   advice = "what the experts make must go on as it is, by no factor of 0 and no rounding, and "
     .. "their parameters be made without frozen = true"},
  {id = "router_too_fast", check = "gradients.too_fast",
   what = "one optimizer's step sends most tokens elsewhere",
   cost = "the experts see other tokens at every step: nanochat found rates of 0.02 and more worse "
     .. "than a frozen random router",
   advice = "a smaller lr, or warmup"},
  {id = "moments_lost", check = "run.moments",
   what = "the optimizer has lost what it kept of some experts",
   cost = "their next steps are those of a beginning: the loss jumps (Megatron-LM 761)",
   advice = "resume from a checkpoint that has them (r:rewind(step), train.resume), and look at "
     .. "the journal for a reset"},
  {id = "sees_future", check = "scores.future",
   what = "a later token changes an earlier one's experts",
   cost = "training sees what generation cannot: the loss is too good, and texts are not "
     .. "(flaxformer: breaks autoregressive behaviour)",
   advice = "choose by each token's own scores (ctx:choose); of routers that rank tokens take "
     .. "expert_threshold"},
}
