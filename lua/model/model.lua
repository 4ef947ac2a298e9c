-- model: model.define(name, build, options) makes model.name{...}; what every model can do.
--
-- build(cfg) returns forward(ids (B,T) i32), which returns nn.head(x, w) or logits (B*T, V).  It is
-- run once to make the parameters, and again whenever a program of another shape or mode is wanted.
-- Its second argument: the coefficients that were given, by name; nil of a model that was saved.

local engine = require "switchyard.engine"
local definition = require "switchyard.core.definition"
local fields = require "switchyard.core.fields"
local lazy = require "switchyard.core.lazy"
local live = require "switchyard.model.live"
local config = require "switchyard.model.config"
local nn = require "switchyard.model.nn"
local objective = require "switchyard.model.objective"
local accuracy = lazy "switchyard.model.accuracy"
local generate = lazy "switchyard.model.generate"
local sequence = lazy "switchyard.model.sequence"
local options = require "switchyard.core.options"
local routing = lazy "switchyard.model.routing"
local rules = lazy "switchyard.model.token_rules"
local words = require "switchyard.core.words"
require "switchyard.model.attention"
require "switchyard.model.routers"

local model = {}
local families = {} -- name -> {build=, rows=}

-- What a user may have meant to set: what models are made with, and what their runs change.
local function instead(m, name)
  if m.cfg[name] ~= nil or name == "vocab" then
    local run = live.of_run(name) and ("; a run's is r.%s"):format(name) or ""
    return ("%s is chosen when a model is made, model.%s{%s = ...}, and is m.cfg.%s%s"):format(
      name, m.family, name, name, run)
  end
  if m.inputs[name] then
    return ("%s is set through a run, r.%s = ..., and is m.inputs.%s"):format(name, name, name)
  end
end

local Model = {} -- methods
local Class = fields.class("model", Model, "family cfg tokenizer params states inputs layers",
                           instead)
local Layer = fields.class("layer", {}, "number moe label")
local Mixture = fields.class("layer", {}, "experts top_k")
local Expert = fields.class("expert", {}, "number layer")

-- ---- making ----

--- model.define(name, build(cfg) -> forward(ids), options rows or nil)
function model.define(name, build, rows)
  if type(name) ~= "string" or type(build) ~= "function" then
    error("model.define: takes a name and a function of the configuration", 2)
  end
  words.check_name("model.define", name)
  if rawget(model, name) ~= nil and not families[name] then
    error(("model.define: model.%s is a function of the program's; take another name"):format(name),
      2)
  end
  families[name] = {build = build, rows = rows, definition = definition.of {build = build}}
  model[name] = function(given)
    return options.call(Model.new, name, given)
  end
  return model[name]
end

-- For the docs: option rows of every model by name, false of one without.
function model._rows()
  local all = {}
  for name, family in pairs(families) do all[name] = family.rows or false end
  return all
end

--- The family of a name, {build=, rows=, definition=}, or nil.
function model._family(name) return families[name] end

-- A model's tokenizer is the one that vocab was.  Where vocab was a number there is none before
-- training (train takes the data's), but that 256 ids are taken for bytes as long as nothing says
-- otherwise.
local BYTES = 256

--- Raise for coefficients that were given and that no layer has gone by: that would be silence.
-- unmet: {name = value}.
function Model._check_met(m, unmet)
  local list = {}
  for name, v in pairs(unmet) do
    list[#list + 1] = ("%s = %s"):format(name, type(v) == "table" and "{...}" or tostring(v))
  end
  if #list == 0 then return end
  table.sort(list)
  error(("model.%s: balance: %s has no effect: no layer's mixture goes by it (router '%s', %d "
    .. "layers)"):format(m.family, table.concat(list, ", "), routing.name_of(m.cfg.router or "?"),
    m._layer_count), 0)
end

-- A model whose function has not run yet: without parameters, layers and values.
local function empty(name, family, cfg, asked)
  local m = fields.object(Class, {
    family = name, cfg = cfg, tokenizer = cfg.vocab_tokenizer,
    params = fields.only({}, "params", "parameter", true),
    states = fields.only({}, "states", "state", true),
    inputs = fields.only({}, "inputs", "input", true), layers = {},
  })
  m._info, m._state_names, m._input_names, m._ranges, m._moe, m._programs = {}, {}, {}, {}, {}, {}
  m._labels, m._given, m._means = {}, {}, {}
  m._unread = {} -- coefficients of rules that ran and did not read them, by name
  m._chosen = {} -- options that training chose (lua/run/train.lua)
  m._definitions = {["model." .. name] = family.definition}
  cfg.vocab_tokenizer = nil
  if not m.tokenizer and cfg.vocab == BYTES then
    m.tokenizer = tokenizer.bytes()
    m._assumed = m.tokenizer
  end
  m._build = family.build
  m._forward = family.build(cfg, asked)
  if type(m._forward) ~= "function" then
    error(("model.%s: its function must return a function of the token ids, not a %s"):format(name,
      type(m._forward)), 0)
  end
  return m
end

-- Its function runs once, and all that it names is the model's.  asked: coefficients that were
-- given.  Returns the description, whose fills are the values of parameters.
local function built(m, asked)
  local d = {mode = "build", fills = {}, bytes = 0, unmet = asked}
  local ok, why = pcall(m._record, m, d, 1, math.min(m.cfg.context, 4))
  if d.short then
    m.params, d.fills = {}, {}
    collectgarbage()
    local machine = tensor.memory().machine
    error(("model.%s: out of memory: its parameters are %s%d bytes (%.3g GB), the machine has %d "
      .. "(%.3g GB)"):format(m.family, ok and "" or "at least ", d.bytes, d.bytes / 1e9, machine,
      machine / 1e9), 0)
  end
  if not ok then error(why, 0) end
  m:_check_met(d.unmet)
  return d
end

-- Coefficients of models that were made: what m.cfg gives to another need not have an effect there.
local of_models = setmetatable({}, {__mode = "k"})

-- stored: given is the configuration of a model that was saved, perhaps by an older version
function Model.new(name, given, stored)
  local family = families[name]
  local cfg, asked = config.read("model." .. name, family.rows, given, stored)
  local m = empty(name, family, cfg, not stored and asked or nil)
  m._stored = stored
  local balance = type(given) == "table" and given.balance
  local d = built(m, balance and of_models[balance] and {} or asked)
  if type(cfg.balance) == "table" then of_models[cfg.balance] = true end
  m._encodes = nn._encodes(d)
  m._reads_sources = d.fields.sources ~= nil or d.fields.input_sources ~= nil
  for _, fill in ipairs(d.fills) do engine.fill(table.unpack(fill)) end
  m._fresh = true -- its values are what the seed gives
  m:_make_layers()
  m:_put_means()
  return m
end

-- ---- what a description tells the model while it runs ----

function Model:_add_param(key, t, o)
  self.params[#self.params + 1] = t
  self.params[key] = t
  local info = {name = key, experts = o.experts or 0, active = o.active or 1, init = o.init,
                layer = o.layer, role = o.role, mixture = o.mixture, side = o.side,
                frozen = o.frozen or nil}
  self._info[#self.params], self._info[key] = info, info
  return t
end

--- A coefficient's default is that of a mean over the layers: of a sum it is v by their number,
-- which is known when all are met.
function Model:_take_mean(name, v) self._means[name] = v end

function Model:_put_means()
  local count = 0
  for _, list in pairs(self._moe) do count = count + #list end
  for name, v in pairs(self._means) do
    if self.inputs[name] then engine.put(self.inputs[name], {v / count}) end
  end
end

function Model:_add_state(key, t)
  self.states[key] = t
  self._state_names[#self._state_names + 1] = key
end

--- A router or balance rule of its mixtures is met; what: "router 'mine'".
function Model:_add_definition(what, of) self._definitions[what] = of end

--- What people call layer l, where its number alone does not say it: "enc 1".
function Model:_label_layer(l, label) self._labels[l] = label end

-- range: what it may be set to, a row of options.lua, or nil
function Model:_add_input(name, t, range)
  self.inputs[name], self._ranges[name] = t, range
  self._input_names[#self._input_names + 1] = name
end

--- What a parameter is by what it is used for: lookup: its rows are looked up; head: it gives the
-- logits.  What it was declared as stays.
function Model:_mark_use(w, use)
  for i, p in ipairs(self.params) do
    local info = self._info[i]
    if rawequal(p, w) then
      info.lookup = info.lookup or use == "embedding"
      info.role = info.role or use
    end
  end
end

-- What of a path is not as in that of the layer's first mixture: its name.
local function name_apart(path, first)
  local apart = {}
  for i, part in ipairs(path) do
    if part ~= first[i] then apart[#apart + 1] = (part:gsub("%.", "_")) end
  end
  local name = table.concat(apart, "_")
  return (name:find "%D" and name or "m" .. name):sub(1, 20) -- load.2.1 is an expert's
end

--- What series and inputs of a layer's mixture have behind their names: 2, or 2.memory.
function Model:_place(layer, mixture)
  return layer .. (mixture and mixture ~= "" and "." .. mixture or "")
end

--- Options that training chose, {name = true}, of a file.
function Model:_were_chosen(stored)
  for _, name in ipairs {"prefix", "documents"} do
    self._chosen[name] = type(stored) == "table" and stored[name] == true or nil
  end
end

--- The number of experts that a token gets varies: what a step computes is not known before.
function Model:_vary() self._varies = true end

--- A mixture of a layer is met.  Returns its name: nil of the first, whose series and inputs have
-- the layer's number alone; and what is known of it.  reach(on) -> the fewest enabled experts that
-- a token chooses among; nil: all of them.
function Model:_add_mixture(layer, E, K, path, reach)
  if not layer then return nil end
  local text, mixture = table.concat(path, "."), {}
  local list = self._moe[layer] or {}
  self._moe[layer] = list
  for _, known in ipairs(list) do
    if known.path == text then mixture = known end
  end
  if not mixture.path then
    mixture.path, mixture.parts = text, table.move(path, 1, #path, 1, {})
    mixture.name = list[1] and name_apart(path, list[1].parts) or nil
    for _, known in ipairs(list) do
      if known.name and known.name == mixture.name then mixture.name = mixture.name .. #list + 1 end
    end
    mixture.place = self:_place(layer, mixture.name)
    list[#list + 1] = mixture
  end
  mixture.experts, mixture.top_k, mixture.reach = E, K, reach
  if list[1] == mixture and self.layers[layer] then self.layers[layer].moe.top_k = K end
  return mixture.name, mixture
end

-- ---- recording ----

-- Tokens that an encoder of the model reads of a row; nil: it has none.  When it is made a few will
-- do, as of T.
local function input_context(m, d)
  local S = d.input_context or m.cfg.input_context
  return S and d.mode == "build" and math.min(S, 4) or S
end

--- Is it among the options of the model's family?
function Model:_has_option(name)
  for _, row in ipairs(families[self.family].rows or {}) do
    if row[1] == name then return true end
  end
  return false
end

--- Tokens that its encoder reads of a row; nil: it has none.
function Model:_inputs() return self._encodes and self.cfg.input_context or nil end

--- Record forward over (B,T) ids into a new graph: returns the description, the graph in d.graph,
-- the result of the model's function in d.result, the fields of the batch that are read in
-- d.fields.  d.data: the data set that is to have them, by d.objectives (nil: next tokens).
-- `after` records as well, or gives the graph to engine.phase.
function Model:_record(d, B, T, after)
  if self._rules then rules.prepare(self) end
  d.model, d.inputs = self, {}
  engine.record(d.precision or "fp32", function(graph)
    d.graph = graph
    d.batch = nn._batch(d, B, T, input_context(self, d))
    local ids = d.batch.tokens
    if not d.positions then
      d.positions = d.graph:input("positions", "i32", {T})
      local p = {}
      for t = 1, T do p[t] = t - 1 end
      engine.put(d.positions, p)
    end
    nn.describe(d, function()
      d.result = self._forward(ids, d.batch)
      nn._finish(d)
      if after then after(d) end
    end)
  end)
  if d.mode == "build" then
    self._widths, self._layer_count = d.widths or {}, d.layers or 0
    d.graph = nil
  end
  return d
end

--- Logits (N,V) of a result.
function Model.logits_of(result)
  if type(result) == "table" then return nn.linear(result.hidden, result.weight) end
  return result:view(-1, result.shape[#result.shape])
end

-- Label smoothing and z loss of the run that trains, or nil.
local function shaping(d)
  local o = d.mode == "train" and d.shaping
  return o and (o.smooth > 0 or o.z > 0) and o or nil
end

--- Cross entropy in nats a token of what was recorded in d, by the batch's targets; of data that
-- has loss weights by these, too.  Second, with d.apart: what each target adds to the sum (N),
-- weighted.  Third: what training minimizes, where that is another.
function Model.loss_of(d)
  local result, targets = d.result, d.batch.targets:view(-1)
  local weighted = d.data and not engine.field_missing(d.data, "weights", d.objectives)
  local weights, shape = weighted and d.batch.weights:view(-1), shaping(d)
  if type(result) == "table" then
    local x, w = result.hidden, result.weight
    local loss, _, _, plain, losses
    if weights then loss, _, _, plain, losses = x:weighted_head_loss(w, targets, weights, shape)
    else loss, _, _, plain, losses = x:head_loss(w, targets, shape) end
    return shape and plain or loss, d.apart and losses or nil, shape and loss or nil
  end
  local logits = result:view(-1, result.shape[#result.shape])
  local function loss(o)
    if weights then return logits:weighted_cross_entropy(targets, weights, o) end
    return logits:cross_entropy(targets, o)
  end
  local plain, losses = loss()
  return plain, d.apart and losses or nil, shape and (loss(shape)) or nil
end

-- ---- programs for use: logits, loss, decoding ----

-- Programs are kept, but of those that are made for one length of a text (`per_length`) only the
-- last ones used.
local KEPT = 8

function Model:_program(key, make, per_length)
  local p = self._programs[key]
  if not p then
    p = make()
    self._programs[key] = p
  end
  if per_length then
    local keys = self._programs_used or {}
    for i, k in ipairs(keys) do if k == key then table.remove(keys, i) break end end
    keys[#keys + 1] = key
    if #keys > KEPT then self._programs[table.remove(keys, 1)] = nil end
    self._programs_used = keys
  end
  return p
end

--- Run f while the model's run, if it has a live one, is parked between two steps.
function Model:_quietly(f, ...)
  local run = self._run
  if not run then return f(...) end
  run:hold() -- either held, or it raised and is not
  local guard <close> = setmetatable({}, {__close = function() run:release() end})
  return f(...)
end

local function named(tok)
  return ("%s with %d ids, hash %s"):format(tok.kind, tok.size, tok.hash)
end

--- The tokenizer of the model and of a data set: the model's, or where none was given the data's;
-- nil where neither has one.  Raises where these are two.
function Model:_agreed_tokenizer(what, d)
  local its, mine = d.tokenizer, nil
  if not rawequal(self.tokenizer, self._assumed) then mine = self.tokenizer end
  if mine and its and mine ~= its then
    error(("%s: the data's tokenizer (%s) is not the model's (%s): read the data with the model's, "
      .. "data.text(path, {tokenizer = m.tokenizer}), or make the model with the data's, vocab = "
      .. "d.tokenizer"):format(what, named(its), named(mine)), 0)
  end
  return mine or its
end

--- The ids of a text; raises where the model has no tokenizer.
function Model:_encode(what, text)
  if self.tokenizer then return self.tokenizer:encode(text) end
  error(("%s: the model has no tokenizer (its vocab is the number %d, and it was trained on no "
    .. "text): give token ids, or make it with vocab = tok"):format(what, self.cfg.vocab), 0)
end

--- The token ids of a text or of a list or tensor of ids, which stays the caller's.
function Model:_ids(what, x)
  if type(x) == "string" then x = self:_encode(what, x) end
  if type(x) == "userdata" and x.table then x = x:view(-1):table() end
  if type(x) ~= "table" then error(what .. ": takes a text or token ids, got " .. type(x), 0) end
  for i = 1, engine.length(what, x) do
    local id = math.type(x[i]) and math.tointeger(x[i])
    if not id or id < 0 or id >= self.cfg.vocab then
      error(("%s: token %d is %s, must be from 0 to %d"):format(what, i, tostring(x[i]),
        self.cfg.vocab - 1), 0)
    end
  end
  return x
end

-- Steps that it has learned from: of its run, or when that was closed, or when it was saved.
function Model:_steps() return self._run and self._run:status().step or self._steps_done or 0 end

--- Current values of nn.input, and of nn.step, into a program of our own.
function Model:_write_inputs(d)
  for name, t in pairs(d.inputs) do engine.copy(t, self.inputs[name]) end
  if d.step then engine.put(d.step, {self:_steps()}) end
end

-- Logits of T tokens, {run=, d=}.  as_written: as a text is written, where evaluation may be by
-- another rule (a capacity, a router's balanced_eval).
function Model:_logits_program(T, as_written)
  return self:_program("logits." .. T .. (as_written and ".as_written" or ""), function()
    local d = self:_record({mode = "eval", as_written = as_written}, 1, T, function(d)
      d.logits = Model.logits_of(d.result)
    end)
    return {run = engine.program(d.graph, {d.logits}), d = d, tokens = d.fields.tokens}
  end, true)
end

--- m:logits(ids or text) -> (T,V): scores of the next token after each
function Model:logits(x)
  local ids = self:_ids("logits", x)
  if #ids == 0 then error("logits: no tokens given", 0) end
  local p = self:_logits_program(#ids)
  engine.put(p.tokens, ids)
  self:_write_inputs(p.d)
  self:_quietly(function() p.run:run() end)
  return engine.clone(p.d.logits)
end

-- data: the data set that is to have the fields that are read, by `by` (engine.objectives), or nil:
-- of a text alone.
local function loss_program(m, B, T, data, by)
  local weighted = data and not engine.field_missing(data, "weights", by)
  local kind = not data and "text" or weighted and "weighted" or "data"
  if nn._pads_of(data, by) then kind = kind .. ".padded" end
  return m:_program(("loss.%s.%d.%d"):format(kind, B, T), function()
    local d = m:_record({mode = "eval", data = data, objectives = by}, B, T, function(d)
      d.loss = Model.loss_of(d)
    end)
    return {run = engine.program(d.graph, {d.loss}), d = d, fields = d.fields, rows = B,
            tokens = d.fields.tokens, targets = d.fields.targets}
  end, true)
end

-- Window of T tokens that ends before token `last` of ids (from 1), in a row of p; targets up to
-- `done` count nothing.
local function put_window(p, row, ids, T, last, done)
  local first = last - T
  local targets = table.move(ids, first + 1, last, 1, {})
  for i = 1, math.min(T, done - first) do targets[i] = -1 end
  engine.put(p.tokens[row], table.move(ids, first, last - 1, 1, {}))
  engine.put(p.targets[row], targets)
end

local TOGETHER = 512 -- tokens that go through a program at once, where a text has so many

-- Every token but the first is predicted once: by the first window all of its own, by each further
-- one those of its latter half, so that they have at least half a context before them; the last
-- window ends with the text.
local function text_loss(m, ids)
  local n = #ids - 1
  if n < 1 then error("loss: a text of at least 2 tokens is needed, got " .. #ids, 0) end
  local T = math.min(m.cfg.context, n)
  local half = math.max(1, T // 2)
  local p = loss_program(m, n == T and 1 or math.max(1, TOGETHER // T), T)
  m:_write_inputs(p.d)
  local sum, done = 0, 0
  while done < n do
    local before, row = done, 0
    p.targets:fill(-1)
    while done < n and row < p.rows do
      local upto = math.min(done == 0 and T or done + half, n)
      row = row + 1
      put_window(p, row, ids, T, upto + 1, done + 1)
      done = upto
    end
    p.run:run()
    sum = sum + p.d.loss:item() * (done - before)
  end
  return sum / n
end

--- What is to be predicted of a data set (engine.objectives): `given`, or what the model learned.
function Model:_objectives(what, d, given)
  return objective.handle(given and objective.read(what, given) or self._objective or "next",
    self:_agreed_tokenizer(what, d))
end

-- Mean over the evaluation's windows of a data set, as r:eval takes them.
local function data_loss(m, d, o)
  local T, by = o.context or m.cfg.context, m:_objectives("loss", d, o.objective)
  local p = loss_program(m, o.batch, T, d, by)
  m:_write_inputs(p.d)
  local n = engine.eval_windows(d, T, o.batches, m:_inputs(), by)
  local sum, at, whole = 0, 0, engine.eval_tally(d, T, n, m:_inputs(), by)
  while at < n do
    local rows, share = engine.eval_batch(d, at, n, p.fields, by, whole)
    p.run:run()
    sum, at = sum + p.d.loss:item() * share, at + rows
  end
  return sum / n
end

model._loss_rows = {
  {"batches", "integer", 20, 1, help = "of a data set: windows of the validation part, 16 each"},
  {"batch", "integer", 16, 1, 1 << 20, help = "windows that are computed at once"},
  {"context", "integer", nil, 1, 1 << 24,
   help = "tokens of a window; default: the model's context"},
  objective.row(nil, "of a data set, as train takes it; default: that of the model's run, else "
    .. "next. "),
}

--- m:loss(dataset or text or ids, {batches=20, batch=16, context=, objective=}) -> nats a token,
-- without any auxiliary loss
function Model:loss(x, given)
  local o = options.read("loss", given, model._loss_rows)
  return self:_quietly(function()
    if engine.is_data(x) then return data_loss(self, x, o) end
    if o.objective then error("loss: objective has no effect on a text: it is read as it is", 0) end
    return text_loss(self, self:_ids("loss", x))
  end)
end

--- m:accuracy(dataset, {batches=20, batch=16, context=, objective=}) -> share of the targets that
-- are the likeliest token, {source = share}
function Model:accuracy(d, given)
  local o = options.read("accuracy", given, model._loss_rows)
  if not engine.is_data(d) then error("accuracy: takes a data set, got " .. type(d), 0) end
  return self:_quietly(function()
    return accuracy.of(self, d, o, self:_objectives("accuracy", d, o.objective))
  end)
end

--- m:ablate{data = d} -> table: loss without each expert, the model unchanged
function Model:ablate(given)
  return options.call(require("switchyard.lab.ablation").of, self, given)
end

-- ---- looking ----

local function product(shape)
  local n = 1
  for _, v in ipairs(shape) do n = n * v end
  return n
end

-- Tokens of a row that are counted as such, of T of the decoder: those that it is given.
local function tokens_of_row(m, T) return T + (m:_inputs() or 0) end

--- How often a parameter is used for a token that is counted: 1; of an encoder and a decoder the
-- share of the tokens that its side has, S/(S+T) of what reads the S inputs of a row.
function Model:_uses(info, context)
  local T = context or self.cfg.context
  return (info.side == "input" and self.cfg.input_context or T) / tokens_of_row(self, T)
end

-- Multiply-adds of attention in a row of T tokens, forward and backward: causal at half.
local function attention_flops(m, T)
  local S, w = m.cfg.input_context or 0, m._widths
  return 6.0 * T * T * (w.context or 0) + 12.0 * S * T * (w.memory or 0)
    + 12.0 * S * S * (w.input or 0)
end

--- m:count() -> {total=, active=, flops_per_token=, varies=}: parameters, those that one token
-- uses, and model FLOPs of a training step a token: 6 for each multiply-add weight it uses, plus
-- causal attention at half.  Of an encoder and a decoder it is the mean over the tokens of both
-- sides of a full row, as tokens are counted everywhere.  varies: a token gets top_k experts
-- nominally, and may get more or fewer; then FLOPs of a run are not known.
function Model:count(context)
  local total, active, weights, T = 0, 0, 0, context or self.cfg.context
  for i, p in ipairs(self.params) do
    local info = self._info[i]
    local n = product(p.shape)
    local used = info.experts > 0 and n // info.experts * info.active or n
    total, active = total + n, active + used
    if #p.shape >= 2 and (not info.lookup or self.cfg.tie) then
      weights = weights + used * self:_uses(info, T)
    end
  end
  local beside = attention_flops(self, T) / tokens_of_row(self, T)
  return {total = total, active = active, flops_per_token = 6.0 * weights + beside,
          varies = self._varies}
end

function Model:_make_layers()
  for l = 1, math.max(self.cfg.layers or 0, self._layer_count) do
    local moe, mixture = self._moe[l] and self._moe[l][1], nil
    if moe then
      local experts = {}
      for e = 1, moe.experts do experts[e] = fields.object(Expert, {number = e, layer = l}) end
      mixture = fields.object(Mixture, {experts = experts, top_k = moe.top_k})
    end
    self.layers[l] = fields.object(Layer, {number = l, moe = mixture, label = self._labels[l]})
  end
end

function Class.__tostring(m) return require("switchyard.prompt.card").model(m) end

-- ---- on disk ----

--- m:save(path, {family=}) -> true: a folder of model.safetensors, config.json and, of a model with
-- a tokenizer, tokenizer.json and tokenizer_config.json; a second result says why transformers
-- cannot load it, where it cannot
function Model:save(path, given) return require("switchyard.model.file").save(self, path, given) end

--- m:upcycle{experts=8, top_k=2, router=, balance=, capacity=, ...} -> a model with experts that
-- begin as the dense layer, and by how much its logits are off
function Model:upcycle(given)
  return require("switchyard.model.upcycle").make(self, given, function(name)
    return families[name], function(cfg) return Model.new(name, cfg) end
  end)
end

--- m:copy_from(source) -> {copied=, kept=, left=}: all that has its name and shape in another model
function Model:copy_from(source) return require("switchyard.model.copy").from(self, source) end

--- Another model with all that this one is at this step, or nil: what was done to its run gave it
-- shapes that its configuration does not say.
function Model:_twin()
  return require("switchyard.model.copy").twin(self, function()
    return Model.new(self.family, self.cfg, true)
  end)
end

--- model.load(path) -> m
function model.load(path, ...)
  if select("#", ...) > 0 then error("model.load: takes a path alone; it has no options", 2) end
  return require("switchyard.model.file").load(path, function(family, config)
    local m = families[family] and Model.new(family, config, true)
    if m then m._fresh = false end
    return m
  end)
end

-- ---- texts that it writes ----

function Model:generate(...) return generate.generate(self, ...) end
function Model:fill(...) return require("switchyard.model.fill").fill(self, ...) end
function Model:translate(...)
  return require("switchyard.model.translate").translate(self, ...)
end
function Model:_one_by_one(...) return generate.one_by_one(self, ...) end
function Model:_decode(...) return sequence.decode(self, ...) end
function Model:_decode_all(...) return sequence.decode_all(self, ...) end

model._Model, model._Class = Model, Class
return fields.only(model, "model", "model")
