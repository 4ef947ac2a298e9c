-- lint(m or r): which of the faults that have bitten public projects a model or run has, by numbers
-- alone: its function is run on a few tokens (lua/lab/specimen.lua), with and without what the
-- fault would make a difference to.
--
--     lint(m, {data =, rows =, length =, lr =})  -> list of {fault=, layer=, evidence=, advice=,
--                                                   cost=, what=}; empty where all is well
--
--  1. Names are not looked at: a router, a loss or a balance rule of a user's is treated as one of
--     the program's.
--  2. The model and its run are the same afterwards, bit for bit; a run is parked meanwhile.
--  3. What cannot be examined is listed with the reason (list.left), and never silent.
--
-- A fault is a row of FAULTS; check is a function(look, found, left) of one of the files lint_*.lua
-- beside this: found(x, text, ...) with the mixture x (or nil) and what was measured; left(text)
-- says why it could not look.  Sources: the public threads that each row names.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"
local specimen = require "switchyard.lab.specimen"

local lint = {}

local FAULTS = {
  {id = "router_untaught", check = "gradients.untaught",
   what = "the language model's loss does not reach the router",
   cost = "the router learns nothing of the text: Megatron-LM 894 has loss 2.649, that of the "
     .. "dense model, and 2.452 with the gradient",
   advice = "with top_k = 1 let the gate be the score itself: gates = p:gather(-1, experts) of "
     .. "p = logits:softmax(-1), no softmax over the chosen, no division by their sum, no "
     .. "rounding on the way"},
  {id = "scores_twice", check = "scores.twice",
   what = "scores are normalised twice",
   cost = "a softmax of a softmax gives each of E experts at least 1 / (e + E - 1), however sure "
     .. "the router is; transformers 45120 balanced by such scores",
   advice = "take scores = logits:softmax(-1) once, and gates from them by gather, not by another "
     .. "softmax"},
  {id = "scores_of_chosen", check = "losses.of_chosen",
   what = "the balance loss takes the chosen experts' scores alone",
   cost = "an expert that nobody chooses gets no gradient, so nothing brings it back (nanoMoE)",
   advice = "give scores over all E experts, and let P be their mean: scores = logits:softmax(-1)"},
  {id = "scores_shrink", check = "scores.shrink",
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
  {id = "loss_inert", check = "losses.inert",
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
  {id = "uniform", check = "scores.uniform",
   what = "the router is exactly uniform although it was trained",
   cost = "all experts are chosen by ties: 10,000 steps passed so unnoticed (codhelabs 2026)",
   advice = "begin with weights that differ, ctx:logits{init = 0.02}, and see that the loss "
     .. "reaches them"},
  {id = "bias_drifts", check = "bias.drifts",
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
  {id = "dead", check = "loads.dead",
   what = "experts get no tokens",
   cost = "their parameters are memory without use",
   advice = "r.layers[l].experts[e]:reset(), a larger aux or gamma, or fewer experts"},
  {id = "collapse", check = "loads.collapse",
   what = "nearly all tokens go to as few experts as there can be",
   cost = "the mixture is a dense layer that pays for its experts (torchtitan 1246)",
   advice = "r.aux = 0.01 (or a bias by gamma), then reset() what is dead"},
  {id = "capacity_ignored", check = "loads.ignored",
   what = "a capacity is set and not enforced",
   cost = "memory and time go by the fullest expert, and the run is another than was described "
     .. "(transformers 48293, 37017)",
   advice = "hand it to the layer: nn.moe(x, {capacity = cfg.capacity, ...}); it admits at most "
     .. "ceil(c N K / E) a group"},
  {id = "mostly_dropped", check = "loads.dropped",
   what = "most assignments are dropped",
   cost = "dropped tokens learn nothing in this layer (DeepSpeed 7986: 0.0059 of them were kept)",
   advice = "a larger capacity (1.25 of the fair share is usual), or none"},
  {id = "dropped_passed", check = "loads.passed",
   what = "a dropped token is passed on as gate times itself",
   cost = "the residual stream carries it already, so it counts twice (transformers 37123)",
   advice = "a dropped token's output is 0: no plus = for tokens without an expert"},
  {id = "experts_still", check = "gradients.still",
   what = "experts that have tokens get no gradient",
   cost = "they stay as they were drawn, unnoticed (peft 3009, Automodel 1151)",
   advice = "what the experts make must go on as it is, by no factor of 0 and no rounding, and "
     .. "their parameters be made without frozen = true"},
  {id = "router_too_fast", check = "gradients.too_fast",
   what = "one optimizer's step sends most tokens elsewhere",
   cost = "the experts see other tokens at every step: nanochat found rates of 0.02 and more worse "
     .. "than a frozen random router",
   advice = "a smaller lr, or warmup"},
  {id = "sees_future", check = "scores.future",
   what = "a later token changes an earlier one's experts",
   cost = "training sees what generation cannot: the loss is too good, and texts are not "
     .. "(flaxformer: breaks autoregressive behaviour)",
   advice = "choose by each token's own scores (ctx:choose); of routers that rank tokens take "
     .. "expert_threshold"},
}

-- ---- looking ----

local Look = {}
Look.__index = Look

-- Of each kind one, made when it is first asked for; nil and why where the model refuses.
function Look:specimen(kind, more)
  local kept = self.kept[kind]
  if not kept then
    local spec = {rows = self.rows, length = self.length, data = self.data, by = self.by,
                  precision = self.precision}
    for name, v in pairs(more or {}) do spec[name] = v end
    local good, s = pcall(specimen.new, self.m, spec)
    kept = {s = good and s, why = not good and tostring(s):gsub("\n.*", "") or nil}
    self.kept[kind] = kept
  end
  return kept.s or nil, kept.why
end

--- The training's micro-batch, run with a nudge or without; nil, why.
function Look:train(nudge, more)
  local s, why = self:specimen "train"
  if not s then return nil, why end
  return s:run {nudge = nudge, seed = more and more.seed, step = more and more.step}
end

--- The same without a capacity.
function Look:free(nudge)
  local s, why = self:specimen("free", {as_written = true, gradients = false})
  return s and s:run {nudge = nudge}, why
end

--- The same as one of `n` micro-batches that are alike.
function Look:one_of(n, nudge)
  local s, why = self:specimen("one_of." .. n, {accumulate = n, gradients = false})
  return s and s:run {nudge = nudge}, why
end

--- An evaluation.
function Look:eval(more)
  local s, why = self:specimen("eval", {mode = "eval", gradients = false})
  return s and s:run(more), why
end

--- One as a text is written: nothing is dropped, each token chooses by itself.
function Look:written()
  local s, why = self:specimen("written", {mode = "eval", gradients = false, as_written = true})
  return s and s:run(), why
end

-- Tokens enough to tell loads apart, a multiple of the experts.
local TOKENS, LENGTH, MOST = 256, 64, 2048

local function most_experts(m)
  local E, K = 1, 1
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      E, K = math.max(E, moe.experts), math.max(K, moe.top_k)
    end
  end
  return E, K
end

local function size_of(m, o)
  local T, E = o.length or math.min(m.cfg.context, LENGTH), most_experts(m)
  local rows = math.max(1, math.min(math.max(TOKENS, 8 * E), MOST) // T)
  while not o.rows and rows * T % E ~= 0 and rows < 64 do rows = rows + 1 end
  return o.rows or rows, T
end

-- ---- what it gives ----

local List = {__name = "lint"}

local function wrapped(indent, label, text)
  local width, lines, line = engine.columns() - 1, {}, indent .. label
  local hang = (" "):rep(#indent + #label)
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > width and line ~= hang then
      lines[#lines + 1] = line
      line = hang
    end
    line = line .. (line:sub(-1) == " " and "" or " ") .. word
  end
  lines[#lines + 1] = line
  return lines
end

local function add_all(to, list) table.move(list, 1, #list, #to + 1, to) end

function List.__tostring(list)
  local lines = {#list == 0 and ("lint: nothing found, of %d faults"):format(list.looked)
    or ("lint: %d found"):format(#list)}
  for _, f in ipairs(list) do
    add_all(lines, wrapped("  ", ("%s%s:"):format(f.place and f.place .. ", " or "", f.fault),
      f.what))
    add_all(lines, wrapped("    ", "seen:   ", f.evidence))
    add_all(lines, wrapped("    ", "costs:  ", f.cost))
    add_all(lines, wrapped("    ", "change: ", f.advice))
  end
  if #list.left > 0 then
    add_all(lines, wrapped("  ", "not looked at: ", table.concat(list.left, "; ")))
  end
  return engine.clean(table.concat(lines, "\n"))
end

-- "id, id: why" of each reason.
local function reasons(left)
  local order, by = {}, {}
  for _, one in ipairs(left) do
    if not by[one.why] then
      by[one.why] = {}
      order[#order + 1] = one.why
    end
    table.insert(by[one.why], one.id)
  end
  local out = {}
  for i, why in ipairs(order) do out[i] = table.concat(by[why], ", ") .. ": " .. why end
  return out
end

local function check_of(row)
  local kind, name = row.check:match "^(%w+)%.(.*)$"
  return require("switchyard.lab.lint_" .. kind)[name]
end

local function examine(look, rows)
  local list, left = {}, {}
  for _, row in ipairs(rows) do
    local function found(x, ...)
      list[#list + 1] = {fault = row.id, layer = x and x.layer, place = x and x.label,
                         evidence = string.format(...), what = row.what, cost = row.cost,
                         advice = row.advice}
    end
    local function leave(...) left[#left + 1] = {id = row.id, why = string.format(...)} end
    local check = check_of(row)
    check(look, found, leave)
  end
  list.looked, list.left = #rows - #left, reasons(left)
  return setmetatable(list, List)
end

-- ---- asking ----

local SPEC = {
  {"data", "any", help = "data set whose batches are looked at; default: the run's, or ids by lot"},
  {"objective", "any", help = "of the data, as train takes it; default: the run's, or next"},
  {"rows", "integer", nil, 1, 4096, help = "rows of a batch; default: about 256 tokens"},
  {"length", "integer", nil, 2, 1 << 20, help = "tokens of a row; default: the context, up to 64"},
  {"lr", "number", nil, 0, 1e3, help = "learning rate that is judged; default: the run's"},
}
lint.rows = SPEC

local function model_of(x)
  if type(x) == "table" and rawget(x, "_forward") then return x end
  error("lint: argument 1 must be a model or a run, got " .. type(x), 0)
end

local function look_at(x, o)
  local m = model_of(x)
  local rows, length = size_of(m, o)
  local by = o.data and objective.handle(objective.read("lint", o.objective or "next"),
    m:_agreed_tokenizer("lint", o.data)) or nil
  return setmetatable({m = m, rows = rows, length = length, data = o.data, by = by, lr = o.lr,
                       precision = "fp32", steps = m:_steps(), kept = {}}, Look)
end

local function run(x, given)
  if nn.mode() then error("lint: inside a model's function there is no model yet", 0) end
  local o = options.read("lint", given, SPEC)
  if o.objective and not o.data then error("lint: objective has no effect without data", 0) end
  if o.data and not engine.is_data(o.data) then
    error("lint: data must be a data set, got " .. type(o.data), 0)
  end
  local look = look_at(x, o)
  if not next(look.m._moe) then
    error("lint: the model has no mixture of experts: there is no router to look at", 0)
  end
  return look.m:_quietly(function() return examine(look, FAULTS) end)
end

--- lint(m or r, options) -> list of {fault=, layer=, evidence=, advice=, ...}, printed as a report
function lint.lint(x, given) return options.call(run, x, given) end

--- lint.faults() -> list of {fault=, what=, cost=, advice=}, printed by lines
function lint.faults()
  local list = {}
  for i, row in ipairs(FAULTS) do
    list[i] = {fault = row.id, what = row.what, cost = row.cost, advice = row.advice}
  end
  return setmetatable(list, {__tostring = function()
    local lines = {}
    for i, f in ipairs(list) do lines[i] = ("%-22s %s"):format(f.fault, f.what) end
    return table.concat(lines, "\n")
  end})
end

return lint
