-- nn: what models are made of: plain functions over tensors and named parameters.
--
-- A model's function is run under a *description* (below), which knows the mode:
--   "build"   once, when the model is made: parameters come into being
--   "train"   forward with auxiliary losses; the engine derives the backward pass
--   "eval"    forward alone: no auxiliary loss, no dropout
--   "decode"  a few tokens against a key-value cache
-- In each the same lines of Lua run, and the engine records what they apply.  B batch, T tokens of
-- a sequence, C width, H heads, D head width, E experts, K experts a token, F expert width, V
-- vocabulary.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local nn = {}
local now -- the description being recorded, or nil

local function description(what)
  return now or error(what .. ": only inside a model's function (see model.define)", 3)
end

--- nn.describe(d, f, ...): run f under description d; ends the description even when f fails.
function nn.describe(d, f, ...)
  local before = now
  now = d
  d.path, d.aux, d.layer, d.mixture, d.padding, d.of_all = {}, {}, nil, nil, nil, {}
  d.stacks, d.side, d.initializer, d.handed = {}, nil, nil, {}
  local ok, a, b = xpcall(f, function(e)
    return type(e) == "string" and e or debug.traceback(tostring(e))
  end, ...)
  now = before
  if not ok then error(a, 0) end
  return a, b
end

-- Fields of a batch (engine.fields): the second argument of a model's function.  What is read of it
-- becomes an input of the program, which the sampler fills; read outside of training and evaluation
-- it is what a text without a corpus has (no documents but one, weights of 1), or what whoever
-- records puts there: d.given = {inputs = true}.
local specs = engine.fields()

-- (B,T), (B,S) or (B).
local function shape_of(d, name)
  local length, lengths = specs[name].length, d.lengths
  if length == "row" then return {lengths.row} end
  if length == "input" and not lengths.input then
    error(("batch: the model reads the field '%s': its configuration has no input_context, which "
      .. "says how many tokens that are"):format(name), 0)
  end
  return {lengths.row, lengths[length]}
end

local function read_field(d, name)
  local spec = specs[name]
  if not spec then
    local names = {}
    for known in pairs(specs) do names[#names + 1] = known end
    table.sort(names)
    options.unknown("batch", "field", name, names)
  end
  local why = d.data and engine.field_missing(d.data, name, d.objectives)
  if why then error(("batch: the model reads the field '%s': %s"):format(name, why), 0) end
  if name == "targets" and d.mode == "decode" then
    error("batch: the model reads the field 'targets': a text that is being written has none", 0)
  end
  local t = d.graph:input(name, spec.dtype, shape_of(d, name))
  if d.data or d.mode == "build" or d.given and d.given[name] then return t end
  if not spec.alone then
    error(("batch: the model reads the field '%s': a text alone has none"):format(name), 0)
  end
  if spec.alone ~= 0 then t:fill(spec.alone) end
  return t
end

local function batch_is_read(_, name)
  error(("batch: its fields cannot be set: %s"):format(tostring(name)), 2)
end

--- The batch of description d: batch.NAME is the field of this name.  S: tokens of an encoder's
-- input, or nil.
function nn._batch(d, B, T, S)
  d.fields, d.lengths = {}, {row = B, context = T, input = S}
  return setmetatable({}, {__name = "batch", __newindex = batch_is_read, __index = function(_, name)
    local t = d.fields[name] or read_field(d, name)
    d.fields[name] = t
    return t
  end})
end

-- What is of no layer has one value, whichever of them asks for it; what: the function that does.
local function check_same(d, what, name, default)
  if d.mode ~= "build" then return end
  d.defaults = d.defaults or {}
  local before = d.defaults[name]
  d.defaults[name] = before or default
  if before == nil or before == default then return end
  error(("%s: '%s' is %s in one mixture or layer and %s in another; it has one value in the "
    .. "whole model"):format(what, name, tostring(before), tostring(default)), 0)
end

--- nn.of_layers(name, t, f, by): of what layers have in common: t is collected under this name, and
-- when the model's function has returned, f(list of all) runs once, outside of all layers and
-- scopes.  by: the options that f goes by, a text: they are the same of all.
function nn.of_layers(name, t, f, by)
  local d = description("of_layers")
  check_same(d, "of_layers", name, by)
  local of = d.of_all[name]
  if not of then
    of = {f = f}
    d.of_all[name], d.of_all[#d.of_all + 1] = of, of
  end
  of[#of + 1] = t
end

--- The model's function has returned.
function nn._finish(d)
  d.path, d.layer, d.mixture = {}, nil, nil
  for _, of in ipairs(d.of_all) do of.f(of) end
end

--- nn.model_state(name, t): as nn.state, of the whole model, whichever layer asks for it.
function nn.model_state(name, t)
  local d = description("model_state")
  local path = d.path
  d.path = {}
  local state = nn.state(name, t)
  d.path = path
  return state
end

--- nn.remark(text): what is to be said, once, before the model is trained.
function nn.remark(text)
  local d = description("remark")
  if not d.remarks or d.remarks[text] then return end
  d.remarks[text], d.remarks[#d.remarks + 1] = true, text
end

--- nn._encodes(d): does what was recorded read what an encoder reads?
function nn._encodes(d)
  for name in pairs(d.fields) do
    if specs[name].length == "input" then return true end
  end
  return false
end

--- nn.description() -> the description being recorded, or nil: for those who write a layer of their
-- own kind (lua/model/mixture.lua)
function nn.description() return now end

--- nn.mode() -> "build" "train" "eval" "decode", or nil outside a model's function
function nn.mode() return now and now.mode end

--- nn.padding(documents (B,T) i32, or nil): tokens whose document is negative are padding: no
-- mixture from here on routes them, and they count nowhere.  nil: none is.
function nn.padding(documents)
  description("padding").padding = documents and documents:view(-1):lt(0) or nil
end

--- Is there padding in rows of a data set (or nil) by these objectives (or nil): are they pairs,
-- or an objective's that fills no row to its end?
function nn._pads_of(data, objectives)
  return data ~= nil and
    (engine.languages(data) ~= nil or objectives ~= nil and objectives:pads()) or false
end

--- The same of the data that is trained on or evaluated.
function nn._pads()
  local d = description "pads"
  return nn._pads_of(d.data, d.objectives)
end

--- nn.scope(name, f, ...): names of parameters made in f begin with "name."; returns f's results
function nn.scope(name, f, ...)
  local path = description("scope").path
  path[#path + 1] = name
  local function leave(...)
    path[#path] = nil
    return ...
  end
  return leave(f(...))
end

local function full_name(name)
  local path = now.path
  return #path == 0 and name or table.concat(path, ".") .. "." .. name
end

-- Which of its stack's layers layer l is, from 1: layers of a stack follow one another.
local function place_in(d, stack, l)
  d.stacks[stack] = d.stacks[stack] or l
  local at = l - d.stacks[stack] + 1
  if at < 1 then
    error(("layer: %d comes before the first layer of stack '%s', which is %d"):format(l, stack,
      d.stacks[stack]), 3)
  end
  return at
end

local stack_rows = {{"stack", "string"}}

--- nn.layer(l, f, {stack=} or nothing, ...): like scope("model.layers.(l-1)"); l, from 1, is what
-- charts and r.layers count by.  A model of two stacks numbers its layers through both and says
-- which this one is of: scope("encoder.layers.0"), label "enc 1".
function nn.layer(l, f, ...)
  local d = description("layer")
  local before, stack, scope = d.layer, d.stack, "model.layers." .. l - 1
  local o, first = ..., 1
  if type(o) == "table" and o.stack then
    o, first, d.stack = options.read("layer", o, stack_rows), 2, o.stack
    local at = place_in(d, o.stack, l)
    scope = ("%s.layers.%d"):format(o.stack, at - 1)
    d.model:_label_layer(l, ("%s %d"):format(o.stack:sub(1, 3), at))
  end
  d.layer = l
  d.layers = math.max(d.layers or 0, l)
  d.graph:segment(l)
  local function leave(...)
    d.layer, d.stack = before, stack
    d.graph:segment(before or 0)
    return ...
  end
  return leave(nn.scope(scope, f, select(first, ...)))
end

--- nn.initializer(f): what parameters that are made from here on begin with is f(name, shape, init)
-- instead of init, what their layer says; name: under its scopes.
function nn.initializer(f) description("initializer").initializer = f end

local param_rows = {
  {"experts", "integer", nil, 0}, {"active", "integer", nil, 1}, {"role", "string"},
  {"frozen", "boolean", false},
}

local function param_options(given)
  local o = options.read("param", given or {}, param_rows)
  o.role = o.role or (o.experts or 0) > 0 and "expert" or nil
  o.frozen = o.frozen or o.role == "router" and now.mixture ~= nil and now.mixture.frozen == true
  local roles = engine.roles()
  for _, name in ipairs(roles) do
    if not o.role or name == o.role then return o end
  end
  error(("param: no role '%s'; there are %s"):format(o.role, table.concat(roles, ", ")), 3)
end

-- What a parameter may begin with (src/tensor/init.h), and whether it takes a number.
local INITS = {zeros = false, ones = false, normal = true, truncated = true, uniform = true,
               orthogonal = true}
local INIT_FORMS = "a number (the deviation of a normal), \"zeros\", \"ones\", {\"normal\", x}, "
  .. "{\"truncated\", x}, {\"uniform\", x} or {\"orthogonal\", x}"

local function init_text(init)
  if type(init) ~= "table" then return tostring(init) end
  return ("{%s, %s}"):format(tostring(init[1]), tostring(init[2]))
end

local function check_init(key, shape, init)
  if init == nil or type(init) == "number" then return end
  local form, x = init, nil
  if type(init) == "table" then form, x = init[1], init[2] end
  if INITS[form] == nil or INITS[form] ~= (type(x) == "number") then
    error(("param: init of '%s' must be %s: it is %s"):format(key, INIT_FORMS, init_text(init)), 3)
  end
  if x and not (x >= 0 and x < math.huge) then
    error(("param: init of '%s' must be at least 0: it is %s"):format(key, init_text(init)), 3)
  end
  if form == "orthogonal" and #shape < 2 then
    error(("param: init of '%s' is orthogonal, which a matrix can be: its shape is (%s)")
      :format(key, table.concat(shape, ", ")), 3)
  end
end

--- nn.param(name, shape, init, options) -> tensor: the parameter of this name under the scopes
-- around it.  init: standard deviation of a normal, "zeros" or "ones" (default 0.02), or {form,
-- number} with the form normal, truncated, uniform or orthogonal (src/tensor/init.h).
-- options.experts: the first dimension counts experts, of which a token uses options.active.
-- options.role: what it is (src/train/params.h); by default "expert" with experts, and what
-- nn.embedding and nn.head make of it.
-- options.frozen: it stays what it begins with, and no gradient of it is computed.
function nn.param(name, shape, init, options)
  local d = description("param")
  local key = full_name(name)
  local p = d.model.params[key]
  if p then
    local info = d.model._info[key]
    info.active = options and options.active or 1 -- K may have changed
    return info.frozen and p:detach() or p
  end
  if d.mode ~= "build" then
    error("param: '" .. key .. "' was not there when the model was made", 2)
  end
  if d.initializer then init = d.initializer(key, shape, init) end
  check_init(key, shape, init)
  local bytes = 4.0
  for _, n in ipairs(shape) do bytes = bytes * n end
  d.bytes = d.bytes + bytes
  local t = not d.short and engine.zeros(shape)
  if not t then
    d.short = true -- the rest is only counted, so that the message has the whole
    t = tensor.zeros(1):expand(shape)
  elseif init ~= "zeros" then
    -- Filled when all are there: untouched zeros cost nothing, so what is too large is refused
    -- before.
    d.fills[#d.fills + 1] = {t, init, d.model.cfg.seed, #d.model.params + 1, key}
  end
  local o = param_options(options)
  return d.model:_add_param(key, d.short and t or t:grad(true),
    {experts = o.experts, active = o.active, init = init, layer = d.layer, role = o.role,
     mixture = d.mixture and d.mixture.name, frozen = o.frozen,
     side = d.side})
end

-- What a state or an input begins with is read before any program runs.
local function check_values(what, name, t)
  if engine.has_values(t) then return end
  error(("%s: what '%s' begins with is computed in the model's function, which is only recorded: "
    .. "make it outside, or by tensor.zeros, full, tensor{...}, or a draw with seed=")
    :format(what, name), 3)
end

--- nn.state(name, t) -> tensor: a tensor that is no parameter but belongs to the model (router
-- bias, running loads): no gradient, saved with the model.  nn.update(state, value) sets it at the
-- end of each step (with accumulate to what value is in the last micro-batch: see nn.step_sum).
function nn.state(name, t)
  local d = description("state")
  local key = full_name(name)
  if not d.model.states[key] then
    check_values("state", name, t)
    d.model:_add_state(key, t)
  end
  return d.model.states[key]
end

-- Is it a phase that is learned from?  Those that only look (count, health) leave nothing behind.
function nn._learns(d) return d.mode == "train" and d.kind ~= "count" and d.kind ~= "health" end

function nn.update(state, value)
  local d = description("update")
  if not nn._learns(d) then return end
  d.graph:update(state, value)
  if d.watch then d.watch.update(state, value) end
end

--- nn.micro_batches() -> number of micro-batches of a step (train's accumulate)
function nn.micro_batches()
  local d = description("micro_batches")
  return d.mode == "train" and d.accumulate or 1
end

--- nn.step() -> scalar f32, read anew at every step: the number of the step that is computed, from
-- 1; elsewhere the steps that the model has learned from (0: none, or of a model without a run).
-- For what changes by a schedule.
function nn.step()
  local d = description("step")
  d.model._reads_step = true
  if not d.step then
    d.step = d.graph:input("step", "i32", {})
    d.step_number = d.step:cast("f32")
  end
  return d.step_number
end

--- nn.step_sum(name, x) -> tensor: the sum of x over the step's micro-batches up to this one.  A
-- state is updated with what its value is in the last one, so updates made of this see the whole
-- step.
function nn.step_sum(name, x)
  local d = description("step_sum")
  if nn.micro_batches() == 1 or not nn._learns(d) then return x end
  local key = full_name(name)
  local sum = d.carried[key]
  if not sum then
    sum = tensor.zeros(x.shape)
    d.carried[key] = sum
  end
  if d.kind == "add" then x = sum + x end
  d.graph:carry(sum, x)
  return x
end

--- The sum of x over all micro-batches of the step, which is known before the first of them is
-- learned from: x of a balance rule (ctx:load, ctx:whole), on which no token's way depends.  Where
-- there are several, a phase of the plan counts it before ("count", include/switchyard/train.h).
-- weight: the input, a coefficient, without which nothing goes by it: where it is 0 it may be what
-- it was before.
function nn._step_total(name, x, weight)
  local d = description("step_total")
  if nn.micro_batches() == 1 then return x end
  if d.counted_for then d.counted_for[weight or 1] = true end
  local key = full_name(name)
  local total = d.totals[key]
  if not total then
    total = tensor.zeros(x.shape)
    d.totals[key] = total
  end
  if d.kind == "count" then
    -- Chosen, not multiplied: a step whose numbers are not finite leaves nothing in the next.
    d.behind = d.behind or d.graph:input("micro", "i32", {}):gt(0)
    d.graph:carry(total, d.behind:where(total, tensor.zeros(1)) + x)
  end
  return total
end

-- With the layer's number, and the name of a mixture that is not the layer's first: load.2.memory.
local function placed(d, name)
  if not d.layer then return name end
  local mixture = d.mixture and d.mixture.name
  return name .. "." .. d.model:_place(d.layer, mixture)
end

local KINDS = engine.series_kinds() -- include/switchyard/series.h
local kind_names = {}
for name in pairs(KINDS) do kind_names[#kind_names + 1] = name end
table.sort(kind_names)

--- nn.observe(name, x, {kind=}): put x (a scalar or a vector) out at every step; r:history(name)
-- has it then.  Inside nn.layer the layer's number is appended: "load" becomes "load.2".  kind:
-- what it is, by which it is drawn, stored and watched; by default the kind of this name, else
-- "value".
function nn.observe(name, x, o)
  local d = description("observe")
  local kind = options.read("observe", o, {{"kind", "string"}}).kind or KINDS[name] and
    name or "value"
  if not KINDS[kind] then options.unknown("observe", "kind", kind, kind_names) end
  if name == "disabled" or kind == "disabled" then
    error("observe: 'disabled' is the trainer's own series, of experts that someone disabled", 0)
  end
  if kind == "experts_per_token" then d.model:_vary() end
  if not nn._learns(d) then return end
  local mixture = d.mixture or {}
  d.observed = d.observed or {}
  d.observed[placed(d, name)] = true
  d.graph:observe(placed(d, name), x, kind, d.layer, mixture.name,
    kind == "load" and mixture.mask or nil)
end

--- The same of what came later than runs that are stored: their programs stay what they were.
function nn._observe_aside(name, x)
  local d = description("observe")
  if not nn._learns(d) then return end
  d.graph:observe(placed(d, name), x, name, d.layer, (d.mixture or {}).name, nil, true)
end

--- What the phase health sees of a layer (lua/model/router_health.lua).
function nn._observe_health(name, x)
  local d = description("observe")
  d.graph:observe(placed(d, name), x, name, d.layer, (d.mixture or {}).name)
  d.sees = true
end

-- A program's input of a value that the model has.
local function input_of(d, name, value)
  local t = d.inputs[name]
  if not t then
    t = d.graph:input(name, "f32", value.shape)
    engine.copy(t, value)
    d.inputs[name] = t
  end
  return t
end

--- nn.input(name, default, least, most) -> tensor read anew at every step; r[name] = value changes
-- it while it runs.  default: a number, or a tensor (f32).  Inside nn.layer the layer's number is
-- appended.  least, most: what it may be set to, elements of a tensor too.
function nn.input(name, default, least, most)
  local d = description("input")
  if type(default) ~= "number" then name = placed(d, name)
  else check_same(d, "input", name, default) end
  local value = d.model.inputs[name]
  if not value then
    value = type(default) == "number" and tensor(default) or default
    check_values("input", name, value)
    local range = (least or most) and {name, "number", nil, least, most} or nil
    if range then options.check_range("input", default, range) end
    d.model:_add_input(name, value, range)
    d.model._given[name] = default
  end
  return input_of(d, name, value)
end

--- A tensor that is an input of all layers, of which each may ask for it.
function nn._input_of_all(name, default)
  local d = description("input")
  check_same(d, "input", name, table.concat(default:table(), ", "))
  local value = d.model.inputs[name]
  if not value then d.model:_add_input(name, default) end
  return input_of(d, name, value or default)
end

--- A scalar that is of no layer, whoever puts it out.  kind: a name of series.h.
function nn._observe_of_all(name, x, kind)
  local d = description("observe")
  if not nn._learns(d) then return end
  d.graph:observe(name, x, kind or "value", 0, "")
end

--- nn.loss(name, value): add a scalar to the training loss (never to the evaluation's); observed as
-- `name`.
function nn.loss(name, value, weight)
  local d = description("loss")
  if d.mode ~= "train" then return end
  nn.observe(name, value)
  local weighed = weight and value * weight or value
  d.aux[#d.aux + 1] = weighed
  if d.watch then d.watch.loss(name, value, weighed) end
end

-- ---- layers ----

--- nn.linear(x (...,C), w (O,C), b (O) or nil) -> (...,O)
function nn.linear(x, w, b) return b and x:linear(w, b) or x:linear(w) end

--- nn.embedding(ids (B,T), w (V,C)) -> (B,T,C)
function nn.embedding(ids, w)
  description("embedding").model:_mark_use(w, "embedding")
  return w:embedding(ids)
end

--- nn.rmsnorm(x, w (C), eps = 1e-5): x / rms(x) * w.  Zhang & Sennrich 2019
function nn.rmsnorm(x, w, eps) return (x:rmsnorm(w, {eps = eps or 1e-5})) end

--- nn.layernorm(x, w, b, eps = 1e-5)
function nn.layernorm(x, w, b, eps) return (x:layernorm(w, b, {eps = eps or 1e-5})) end

function nn.gelu(x) return x:gelu() end
function nn.swiglu(gate, up) return gate:swiglu(up) end

--- nn.dropout(x, p): in training zero a share p of x and scale the rest; elsewhere x itself
function nn.dropout(x, p)
  if p == 0 or description("dropout").mode ~= "train" then return x end
  return (x:dropout({p = p}))
end

--- nn.head(x (B,T,C), w (V,C)): the model's result: logits x w^T, or fused with the cross entropy
-- when a loss is wanted, so that N x V numbers never exist.
function nn.head(x, w)
  description("head").model:_mark_use(w, "head")
  return {hidden = x:view(-1, x.shape[#x.shape]), weight = w}
end

return nn
