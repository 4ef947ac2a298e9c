-- A probe: a program of a model that shows what its mixtures do with each token.  Whoever looks at
-- tokens (trace, specialization, ablation, lint) looks through it.  B rows of T tokens, N = B*T, M
-- columns of choices (K, or E where any number is possible), E experts, V vocabulary.
--
--     p = probe.new(m, {rows = B, length = T, data =, by =, context =, ...})
--     p.mixtures[i]   {place=, label=, layer=, mixture=, E=, K=, and of the last p:run()
--         experts (N,M) i32 from 1, 0: none      gates (N,M), 0 of none
--         placed (N,M) i32: the same after capacity; 0: left out
--         scores (N,E) or nil: they sum to 1     logits (N,E) or nil: before the mask
--         by (N,E) or nil: what the K largest of are chosen
--         chosen (N,K) i32 or nil: what the router chose, with what it left out afterwards
--         bias (E) or nil                        output (N,M): |gate * what the expert makes|, with
--                                                output = true
--         instead (N,K) i32 that the caller fills: experts in the place of those that the router
--                                                chooses; 0: as it chooses; with instead = true}
--     p.losses (N): what each target adds to the sum of losses, 0 of none; p.loss: their mean
--     p.logits (N,V), with logits = true
--     p.fields        the batch: tokens, targets, and those that the model or `fields` names
--
--  1. It is an evaluation: no dropout, no auxiliary loss, nothing of the model or its run changes,
--     and what the model computes is what it computes without a probe, bit for bit.
--  2. A run that goes on is parked between two steps while a probe runs, and not longer.
--  3. What does not exist of a router (scores of hash, a choice of expert_choice that could be
--     another) is nil: nobody is told a number that is none.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local Model = require("switchyard.model.model")._Model
local options = require "switchyard.core.options"

local probe, Probe = {}, {}
Probe.__index = Probe

local SPEC = {
  {"rows", "integer", 1, 1}, {"length", "integer", nil, 1}, {"data", "any"}, {"by", "any"},
  {"fields", "table"}, {"given", "table"}, {"input_context", "integer"},
  {"precision", "string", "fp32"},
  {"as_written", "boolean", false}, {"losses", "boolean", true}, {"logits", "boolean", false},
  {"output", "boolean", false}, {"instead", "boolean", false},
}

-- ---- what is recorded ----

local function zeros_of_none(experts, x) return experts:gt(0):where(x, tensor.zeros(x.shape)) end

-- (N,M): the choices that have a place.
local function placed(r)
  return r.pos:ge(0):where(r.placed, tensor.zeros(r.placed.shape, {dtype = "i32"}))
end

-- (N,M): the norm of what each choice adds to the layer's output.
local function norms(r)
  local M, columns = r.weights.shape[2], nil
  for j = 1, M do
    local one = {}
    for i = 1, M do one[i] = i == j and 1 or 0 end
    local y = r.through(r.weights * tensor(one):view(1, M)):cast "f32"
    local norm = (y * y):sum(-1):sqrt():view(-1, 1)
    columns = columns and columns:cat(norm, 2) or norm
  end
  return columns
end

local function label_of(m, layer, mixture)
  return layer and engine.place(layer, mixture, m._labels[layer]) or "the mixture"
end

-- One more mixture is met, in the order of the layers.
local function meet(p, ctx, r)
  local d, o = nn.description(), p.o
  local name = d.mixture.name
  local place = d.layer and d.model:_place(d.layer, name) or tostring(#p.mixtures + 1)
  local x = {place = place, layer = d.layer, mixture = name, E = ctx.E, K = ctx.K,
             label = label_of(d.model, d.layer, name), experts = r.experts,
             gates = zeros_of_none(r.experts, r.gates), placed = placed(r), scores = r.scores,
             logits = ctx._raw, by = ctx._by, chosen = ctx._chosen, bias = ctx._bias,
             router = ctx._router.name, instead = p.others[place], side = d.side}
  if o.output then x.output = norms(r) end
  p.mixtures[#p.mixtures + 1] = x
end

-- ctx:choose and ctx:take ask what a token's experts are to be.
local function replace(p, ctx, experts)
  local d = nn.description()
  local place = d.layer and d.model:_place(d.layer, d.mixture and d.mixture.name)
  if not place or p.others[place] then return end -- a router that chooses twice: the first time
  local other = d.graph:input("instead." .. place, "i32", experts.shape)
  p.others[place] = other
  return other:gt(0):where(other, experts)
end

local OUTPUTS = {"experts", "gates", "placed", "scores", "logits", "by",
                 "chosen", "output"}

local function outputs_of(p)
  local list = {}
  for _, name in ipairs {"losses", "loss", "logits"} do list[#list + 1] = p[name] end
  for _, x in ipairs(p.mixtures) do
    for _, name in ipairs(OUTPUTS) do list[#list + 1] = x[name] end
  end
  return list
end

-- ---- making it ----

local function record(m, p)
  local o = p.o
  local d = {mode = "eval", precision = o.precision, data = o.data, objectives = o.by,
             as_written = o.as_written, given = o.given, input_context = o.input_context,
             apart = o.losses or nil,
             probe = function(ctx, r) meet(p, ctx, r) end,
             instead = o.instead and function(...) return replace(p, ...) end or nil}
  p.d = m:_record(d, o.rows, o.length, function()
    for _, name in ipairs(o.fields or {}) do p.seen[#p.seen + 1] = d.batch[name] end
    if o.logits then p.logits = Model.logits_of(d.result) end
    if o.losses then p.loss, p.losses = Model.loss_of(d) end
  end)
  p.fields = d.fields
  p.program = engine.program(d.graph, outputs_of(p))
end

--- probe.new(m, spec): a program of its own, which the caller keeps as long as it is used.  Raises
-- where the model cannot compute rows of this kind.
function probe.new(m, spec)
  local p = setmetatable({o = options.read("probe", spec, SPEC), m = m, mixtures = {}, others = {},
                          seen = {}}, Probe)
  record(m, p)
  return p
end

--- p:run(change): once through the batch that is in p.fields; change(inputs): what of the model's
-- inputs (a mask) is to be otherwise this time.
function Probe:run(change)
  local m = self.m
  m:_quietly(function()
    m:_write_inputs(self.d)
    if change then change(self.d.inputs) end
    self.program:run()
  end)
  return self
end

--- p:put(rows, targets): lists of T token ids a row; targets likewise, -1: none.
function Probe:put(rows, targets)
  for i, row in ipairs(rows) do
    engine.put(self.fields.tokens[i], row)
    if targets then engine.put(self.fields.targets[i], targets[i]) end
  end
  return self
end

--- p:over(batches, f, change): the evaluation's windows of p's data, as m:loss takes them; f(p,
-- rows, share) after each batch: its rows, and the share of the targets that is in it.
function Probe:over(batches, f, change)
  local m, o = self.m, self.o
  local T, S = o.length, m:_inputs()
  local n, at = engine.eval_windows(o.data, T, batches, S, o.by), 0
  local whole = engine.eval_tally(o.data, T, n, S, o.by)
  while at < n do
    local rows, share = engine.eval_batch(o.data, at, n, self.fields, o.by, whole)
    self:run(change)
    f(self, rows, share / n)
    at = at + rows
  end
end

return probe
