-- A specimen: one micro-batch of a model's training, or of its evaluation, as a program that a
-- linter can put questions to: what do losses and gradients do when the logits of a mixture are
-- moved?  B rows of T tokens, N = B*T, E experts, M columns of choices, W columns of logits (E, and
-- more where a router has other choices beside the experts).
--
--     s = specimen.new(m, {rows = B, length = T, data =, by =, mode = "train", ...})
--     s:run{nudge = function(x, n, e) return number end, seed =}
--     s.mixtures[i]   place, label, layer, E, K, W, router, slots, options, and of the last run
--         logits (N,W), nudge in them    scores (N,E)    experts, gates, placed (N,M)    bias (E)
--         plus (N,C)   padding (N) bool    all but experts, gates and placed may be nil
--         lm (N,W): gradient of the language model's loss at the logits, or nil: none flows
--         learns (E): largest gradient of that loss in each expert's parameters, or nil
--         of_experts, router: of its parameters {name=, param=, frozen=, grad=, largest= or nil}
--     s.losses[i]     {name=, layer=, of=, value=, weighed=, grads = {i = (N,W) of mixture i},
--                     weights = its largest gradient in a router's parameters, or nil}
--     s.updates[i]    {state=, value=}: what a step would make of a state
--     s.loss          the language model's loss, with loss = true or gradients = "all"
--     s.logits (N,V)  with logits = true
--
-- gradients = "all": those at x.lm, learns, router; with "losses" those of the auxiliary losses
-- alone, "none": neither; what nobody asks for is not computed.
--
--  1. Nothing of the model or its run changes: no state is updated, no optimizer runs, and a run
--     that goes on is parked between two steps while a specimen runs.
--  2. Where nothing is nudged, it is what training computes of these tokens.
--  3. Draws are those of (seed, step 0): two runs with equal nudges and seed give equal numbers.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local Model = require("switchyard.model.model")._Model
local options = require "switchyard.core.options"

local specimen, Specimen = {}, {}
Specimen.__index = Specimen

local SPEC = {
  {"rows", "integer", 4, 1}, {"length", "integer", nil, 1}, {"data", "any"}, {"by", "any"},
  {"mode", "string", "train"}, {"accumulate", "integer", 1, 1}, {"seed", "integer", 1},
  {"as_written", "boolean", false}, {"logits", "boolean", false}, {"loss", "boolean", false},
  {"gradients", "string", "none", choices = {"none", "losses", "all"}},
  {"precision", "string", "fp32"},
}

-- ---- what is met while it is recorded ----

local function label_of(m, layer, mixture)
  return layer and engine.place(layer, mixture, m._labels[layer]) or "the mixture"
end

-- A mixture's logits: with a leaf added that is 0 unless someone nudges it.
local function nudged(s, raw)
  local d = nn.description()
  local leaf = d.graph:input("nudge." .. #s.leaves + 1, "f32", raw.shape)
  leaf:grad(true)
  s.leaves[#s.leaves + 1], s.waiting = leaf, leaf
  return raw + leaf
end

local function place_of(d) return d.layer and d.model:_place(d.layer, d.mixture.name) end

local function meet(s, ctx, r)
  local d, places = nn.description(), r.places
  local x = {layer = d.layer, mixture = d.mixture.name, place = place_of(d),
             E = ctx.E, K = ctx.K, N = ctx.N, T = ctx.T,
             label = label_of(d.model, d.layer, d.mixture.name), side = d.side,
             options = ctx._given, name = ctx._router.name, leaf = s.waiting,
             W = s.waiting and s.waiting.shape[2], slots = places and places.slots,
             group = places and places.group, dispatched = places and places.plain,
             experts = r.experts, gates = r.gates, placed = r.placed, pos = r.pos,
             logits = ctx._raw, scores = r.scores, bias = ctx._bias, plus = r.plus,
             padding = ctx:padding(), own = ctx.options, varies = r.varies,
             counted = r.counted, fewer = r.fewer}
  if s.waiting and not ctx._raw then x.leaf, x.W = nil, nil end
  s.waiting = nil
  s.mixtures[#s.mixtures + 1] = x
end

local function watcher(s)
  return {
    logits = function(_, raw) return nudged(s, raw) end,
    loss = function(name, value, weighed)
      local d = nn.description()
      s.losses[#s.losses + 1] = {name = name, layer = d.layer, value = value, weighed = weighed,
                                 of = d.layer and #s.mixtures or nil, grads = {}}
    end,
    update = function(state, value)
      s.updates[#s.updates + 1] = {state = state, value = value,
                                   of = nn.description().layer and #s.mixtures or nil}
    end,
  }
end

-- ---- gradients, recorded behind the forward pass ----

local function gradients(y, list)
  if #list == 0 or not y.requires_grad then return {} end
  return engine.grad(y, list)
end

local function largest_of(g) return g:abs():max() end

-- What belongs to a mixture, of the model's parameters.
local function find_params(s, x)
  x.router, x.of_experts = {}, {}
  for i, info in ipairs(s.m._info) do
    if info.layer == x.layer and info.mixture == x.mixture and info.side == x.side then
      local p = {name = info.name, param = s.m.params[i], frozen = info.frozen}
      if info.role == "router" then table.insert(x.router, p)
      elseif info.experts == x.E then table.insert(x.of_experts, p) end
    end
  end
end

-- Wanted of a mixture: pairs of a leaf and what takes its gradient.
local function want_all(x, want)
  if x.leaf then want(x.leaf, function(g) x.lm = g end) end
  for _, p in ipairs(x.router) do
    want(p.param, function(g) p.largest, p.grad = largest_of(g), g end)
  end
  for _, p in ipairs(x.of_experts) do
    want(p.param, function(g)
      local each = g:abs():view(x.E, -1):max(-1)
      x.learns = x.learns and x.learns:maximum(each) or each
    end)
  end
end

local function of_language_model(s)
  local list, put = {}, {}
  for _, x in ipairs(s.mixtures) do
    want_all(x, function(t, f) list[#list + 1], put[#put + 1] = t, f end)
  end
  for i, g in ipairs(gradients(s.loss, list)) do
    if g then put[i](g) end
  end
end

-- A loss that no logits are in, but perhaps a router's weights.
local function at_weights(s, loss)
  local list = {}
  for i, info in ipairs(s.m._info) do
    if info.role == "router" then list[#list + 1] = s.m.params[i] end
  end
  for _, g in ipairs(gradients(loss.weighed, list)) do
    local most = g and largest_of(g)
    loss.weights = loss.weights and most and loss.weights:maximum(most) or loss.weights or most
      or nil
  end
end

local function of_losses(s)
  for _, loss in ipairs(s.losses) do
    local list, index = {}, {}
    for i, x in ipairs(s.mixtures) do
      if x.leaf and (not loss.of or loss.of == i) then
        list[#list + 1], index[#index + 1] = x.leaf, i
      end
    end
    for k, g in ipairs(gradients(loss.weighed, list)) do loss.grads[index[k]] = g or nil end
    if not next(loss.grads) then at_weights(s, loss) end
  end
end

local OUTPUTS = {"experts", "gates", "placed", "pos", "logits", "scores", "plus", "padding",
                 "counted", "lm", "learns"}

local function outputs_of(s)
  local list = {}
  local function add(t) list[#list + 1] = t end
  for _, name in ipairs {"loss", "logits"} do
    if s[name] then add(s[name]) end
  end
  for _, x in ipairs(s.mixtures) do
    for _, name in ipairs(OUTPUTS) do
      if type(x[name]) == "userdata" then add(x[name]) end
    end
    for _, p in ipairs(x.router) do
      if p.largest then add(p.largest) add(p.grad) end
    end
  end
  for _, loss in ipairs(s.losses) do
    add(loss.value)
    add(loss.weighed)
    for _, g in pairs(loss.grads) do add(g) end
    if loss.weights then add(loss.weights) end
  end
  for _, u in ipairs(s.updates) do add(u.value) end
  return list
end

-- ---- making it ----

local GIVEN = {inputs = true, documents = true, input_documents = true}

-- m._recorded: where a run that records its routing finds it, which is not here.
local function record(s, kind, finish)
  local o, m = s.o, s.m
  local kept = m._recorded
  m._recorded = nil
  local good, d = pcall(m._record, m, {mode = o.mode, kind = kind, data = o.data, objectives = o.by,
    given = not o.data and GIVEN or nil, as_written = o.as_written, precision = o.precision,
    accumulate = o.accumulate, carried = s.carried, totals = s.totals, ends = {},
    input_context = m:_inputs(), probe = function(ctx, r) meet(s, ctx, r) end,
    watch = watcher(s)}, o.rows, o.length, finish)
  m._recorded = kept
  if not good then error(d, 0) end
  return d
end

local function fresh(m, o)
  return setmetatable({m = m, o = o, mixtures = {}, losses = {}, updates = {}, leaves = {},
                       carried = {}, totals = {}}, Specimen)
end

-- Where losses go by a whole step: the program that counts it before.
local function counter_of(s)
  if not next(s.totals) then return nil end
  local c = fresh(s.m, s.o)
  c.totals = s.totals
  c.d = record(c, "count", function(d) c.micro = d.graph:input("micro", "i32", {}) end)
  c.program = engine.program(c.d.graph, {c.mixtures[#c.mixtures].experts})
  return c
end

--- specimen.new(m, spec): raises where the model cannot compute rows of this kind in this mode.
function specimen.new(m, spec)
  local s = fresh(m, options.read("lint", spec, SPEC))
  s.d = record(s, "begin", function(d)
    if s.o.data and nn._pads_of(s.o.data, s.o.by) then local _ = d.batch.documents end
    if s.o.logits then s.logits = Model.logits_of(d.result) end
    if s.o.loss or s.o.gradients == "all" then s.loss = Model.loss_of(d) end
    for _, x in ipairs(s.mixtures) do find_params(s, x) end
    if s.o.gradients == "all" then of_language_model(s) end
    if s.o.gradients ~= "none" then of_losses(s) end
  end)
  s.fields = s.d.fields
  s.program = engine.program(s.d.graph, outputs_of(s))
  s.counter = s.o.accumulate > 1 and counter_of(s) or nil
  s:draw()
  return s
end

-- ---- tokens ----

-- A text of no data: ids by lot, and what the model is told of rows whose ends are empty.
local function by_lot(s)
  local f, V = s.fields, s.m.cfg.vocab
  local ids = tensor.randint(0, V - 1, f.tokens.shape, {seed = s.o.seed, dtype = "i32"})
  engine.copy(f.tokens, ids)
  local next_ids = tensor.randint(0, V - 1, f.tokens.shape, {seed = s.o.seed, dtype = "i32"})
  if f.targets then
    local rows, flat = next_ids:table(), {}
    for _, row in ipairs(rows) do
      for t = 1, #row do flat[#flat + 1] = row[t + 1] or row[1] end
    end
    engine.put(f.targets, flat)
  end
  if f.inputs then
    engine.copy(f.inputs, tensor.randint(0, V - 1, f.inputs.shape, {seed = s.o.seed + 1,
                                                                dtype = "i32"}))
  end
  for _, name in ipairs {"documents", "input_documents"} do
    if f[name] then s:pad(name) end
  end
end

--- The last quarter of each row is padding, where a mixture is told what is.
function Specimen:pad(name)
  local f, any = self.fields[name], false
  for _, x in ipairs(self.mixtures) do any = any or x.padding ~= nil end
  if not any then return end
  local flat, T = {}, f.shape[2]
  for i = 1, f.size do flat[i] = (i - 1) % T < T - T // 4 and 0 or -1 end
  engine.put(f, flat)
  if name ~= "documents" or not self.fields.targets then return end
  local targets = self.fields.targets:view(-1):table()
  for i = 1, #targets do
    if flat[i] < 0 or (flat[i + 1] or -1) < 0 then targets[i] = -1 end
  end
  engine.put(self.fields.targets, targets)
end

function Specimen:draw()
  local o = self.o
  if o.data then engine.batch(o.data, o.seed, 0, self.fields, o.by)
  else by_lot(self) end
end

-- ---- running it ----

local function put_nudges(s, f)
  for _, x in ipairs(s.mixtures) do
    if x.leaf and not f then x.leaf:detach():fill(0) end
    if x.leaf and f then
      local flat, W = {}, x.W
      for n = 1, x.N do
        for e = 1, W do flat[(n - 1) * W + e] = f(x, n, e) or 0 end
      end
      engine.put(x.leaf:detach(), flat)
    end
  end
end

-- What surgery has disabled takes part: it is the router that is looked at.
local function write_inputs(s, d)
  s.m:_write_inputs(d)
  for name, t in pairs(d.inputs) do
    if name:find "^mask%." then t:fill(0) end
  end
end

-- Of all micro-batches of a step that are alike.
local function count(s, seed, f)
  local c = s.counter
  for name, t in pairs(c.fields or c.d.fields) do
    if s.fields[name] then engine.copy(t, s.fields[name]) end
  end
  put_nudges(c, f)
  write_inputs(s, c.d)
  for i = 0, s.o.accumulate - 1 do
    engine.put(c.micro, {i})
    c.program:run(seed, 0)
  end
end

--- s:run{nudge=, seed=, step=, version=}: once through, or not at all where the last time was the
-- same, as version says; step: of schedules, default: that of the model.
function Specimen:run(given)
  local o, last = given or {}, self.last
  if last and o.version and last.version == o.version and last.nudge == o.nudge
    and last.seed == o.seed and last.step == o.step then
    return self
  end
  self.last = o
  self.m:_quietly(function()
    put_nudges(self, o.nudge)
    if self.counter then count(self, o.seed or 0, o.nudge) end
    write_inputs(self, self.d)
    if o.step and self.d.step then engine.put(self.d.step, {o.step}) end
    self.program:run(o.seed or 0, 0)
  end)
  return self
end

return specimen
