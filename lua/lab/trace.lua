-- trace(m or r, text or ids): which experts each token of a text goes to, layer by layer, with what
-- weight, and by how little.  T tokens, K experts of a token, E experts.
--
--     t.layers[l]  .experts (T,K) i32, 0: none   .gates (T,K)   .scores (T,E)   .margin (T)
--                  .placed (T,K): the same after capacity   .mixtures: where a layer has several
--     t.losses (T): nats of the token behind each; of the last one, behind which there is none, NaN
--     t.ranks (T) i32: its place among all tokens by what the model expects; 0 of the last
--
--  1. It is an evaluation through a probe (lua/lab/probe.lua): nothing of the model or its run
--     changes, and a run that goes on is parked between two steps meanwhile.
--  2. What a trace has is its own: the model may go on to learn.
--  3. What a router has not (scores of hash, a margin where not the K largest are chosen) is nil.
--  4. A text that is longer than the context is refused, or with windows = true cut into pieces of
--     the context's length, the last of which ends with the text; each token is taken once.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local lazy = require "switchyard.core.lazy"
local file = lazy "switchyard.lab.trace_file"
local guard = require("switchyard.core.method").guard
local options = require "switchyard.core.options"
local probe = require "switchyard.lab.probe"
local sequence = lazy "switchyard.model.sequence"
local stored = lazy "switchyard.run.stored"
local story = lazy "switchyard.lab.trace_story"
local text = lazy "switchyard.lab.trace_text"

local trace = {}

local methods = {}
local Trace = fields.class("trace", methods,
  "text ids inputs layers losses ranks of step precision windows")
local Layer = fields.class("layer", {},
  "number label router experts gates placed scores margin mixtures E K")
local Mixture = fields.class("mixture", {},
  "name label router experts gates placed scores margin E K")
trace.Trace = Trace

trace.rows = {
  {"layers", "table", nil, help = "numbers of the layers that are kept; default: all with experts"},
  {"precision", "string", "fp32", choices = {"fp32", "bf16"}, help = "of the matrix products"},
  {"windows", "boolean", false, help = "a text longer than the context is cut into pieces of that "
    .. "length"},
  {"step", "integer", nil, 0, help = "of a run with checkpoints: the one of this step"},
  {"code", "boolean", false, help = "of a stored run: use the code of now where it has changed"},
}

local TOGETHER, LOGITS = 4096, 1 << 25 -- tokens, and logits, that are computed at once

local function fail(...) error("trace: " .. string.format(...), 0) end

-- ---- whose ----

-- A model, what it is called, and the step that it is of.
local function model_of(x, o)
  local run = type(x) == "table" and rawget(x, "_m")
  local is_stored = getmetatable(x) == stored.Stored
  if is_stored or run and o.step then
    if not x.dir then fail("step: run '%s' keeps nothing on disk (save = false)", x.name) end
    local m, step = stored.model("trace", x.dir, o.code or nil, o.step)
    return m, x.name, step
  end
  if o.step then fail("step has no effect: a model alone has no checkpoints") end
  if run then return run, x.name end
  if type(x) ~= "table" or not rawget(x, "_fields") or not x._record then
    fail("takes a model or a run, got %s", type(x))
  end
  return x, "model." .. x.family
end

local function ids_of(m, given)
  local ids = m:_ids("trace", given)
  if #ids == 0 then fail("the text has no token") end
  return table.move(ids, 1, #ids, 1, {})
end

-- Ids of the text, and of an encoder's inputs: {inputs = text, tokens = text}.  A decoder behind an
-- encoder begins with its start token, as when it learnt.
local function read_text(m, given)
  local S = m:_inputs()
  if not S then
    if type(given) == "table" and given.inputs then
      fail("inputs has no effect: the model has no encoder")
    end
    return ids_of(m, given)
  end
  if type(given) ~= "table" or given.inputs == nil or given.tokens == nil then
    fail("the model reads inputs and writes a text: {inputs = text or ids, tokens = text or ids}")
  end
  local inputs, ids = ids_of(m, given.inputs), ids_of(m, given.tokens)
  if #inputs > S then fail("the inputs are %d tokens, the model reads %d", #inputs, S) end
  table.insert(ids, 1, sequence.start_of(m))
  return ids, inputs
end

-- ---- rows of the program ----

-- Where the windows begin, from 0, and their length.
local function windows_of(n, m, o)
  local C = m.cfg.context
  if n <= C then return {0}, n end
  if not o.windows then
    fail("the text is %d tokens, the model's context is %d; windows = true cuts it into pieces", n,
      C)
  end
  if m:_inputs() then fail("windows has no effect: a model with an encoder reads one piece") end
  local starts = {}
  for at = 0, n - C, C do starts[#starts + 1] = at end
  if n % C > 0 then starts[#starts + 1] = n - C end
  return starts, C
end

local function put_inputs(p, inputs)
  engine.put(p.fields.inputs, inputs)
  if p.fields.input_documents then p.fields.input_documents:fill(0) end
end

--- A probe of B windows of T tokens of a trace's text; more: its other options.
function trace.probe(t, B, T, more)
  local spec = {rows = B, length = T, precision = t.precision}
  for k, v in pairs(more) do spec[k] = v end
  if t.inputs then
    spec.input_context, spec.fields = #t.inputs, {"inputs"}
    spec.given = {inputs = true, input_documents = true}
  end
  local p = probe.new(t._model, spec)
  if t.inputs then put_inputs(p, t.inputs) end -- then B is 1
  return p
end

--- Window `at` of T tokens of ids, and the tokens behind each; -1: none.
function trace.window(ids, at, T)
  local tokens, targets = table.move(ids, at + 1, at + T, 1, {}), {}
  for i = 1, T do targets[i] = ids[at + i + 1] or -1 end
  return tokens, targets
end

-- ---- what is kept ----

-- (N): by how much the last that was chosen is over the next; nil where the router has none.
local function margin_of(x)
  if not x.by or not x.chosen or x.chosen.shape[2] >= x.by.shape[2] then return nil end
  local K = x.chosen.shape[2]
  local best = x.by:topk(K + 1, -1)
  return (best:narrow(2, K, 1) - best:narrow(2, K + 1, 1)):view(-1)
end

-- (N) i32: the place of each target among all tokens, 0 of none.
local function ranks_of(logits, targets)
  local there = targets:ge(0)
  local at = there:where(targets + 1, tensor.ones(targets.shape, {dtype = "i32"})):view(-1, 1)
  local better = logits:gt(logits:gather(-1, at)):cast("f32"):sum(-1) + 1
  return there:where(better, tensor.zeros(better.shape)):cast "i32"
end

local KEPT = {"experts", "gates", "placed", "scores", "margin", "chosen"}

local function join(list, name, x)
  local tensors = list[name] or {}
  list[name] = tensors
  tensors[#tensors + 1] = x
end

-- Those of a layer's that are asked for; nil: all.
local function is_wanted(wanted, x) return not wanted or wanted[x.layer] end

local function keep_part(part, x, take)
  x.margin = margin_of(x)
  for _, name in ipairs(KEPT) do
    local v = x[name]
    if v then join(part, name, x.side == "input" and engine.clone(v) or take(v)) end
  end
end

-- A mixture's facts, without tensors.
local function part_of(x)
  return {place = x.place, label = x.label, layer = x.layer, name = x.mixture or "", E = x.E,
          K = x.K, router = x.router, side = x.side}
end

local function keep(t, p, take, wanted)
  local targets = p.fields.targets:view(-1)
  join(t._kept, "losses", take(p.losses))
  join(t._kept, "ranks", take(ranks_of(p.logits, targets)))
  local i = 0
  for _, x in ipairs(p.mixtures) do
    if x.layer and is_wanted(wanted, x) then
      i = i + 1
      t._parts[i] = t._parts[i] or part_of(x)
      keep_part(t._parts[i], x, take)
    end
  end
end

-- Of B rows of T tokens those that the text has not had yet: all but the first `seen` of the last
-- of `rows` rows.
local function taker(T, rows, seen)
  return function(x)
    local whole = #x.shape == 1 and x:view(-1, 1) or x
    local n = (rows - 1) * T
    local y = whole:narrow(1, n + seen + 1, T - seen):contiguous()
    if n > 0 then y = whole:narrow(1, 1, n):contiguous():cat(y, 1) end
    return engine.clone(#x.shape == 1 and y:view(-1) or y)
  end
end

local function run_windows(t, wanted)
  local ids, m = t.ids, t._model
  local starts, T = windows_of(#ids, m, t._options)
  local B = math.min(#starts, math.max(1, math.min(TOGETHER, LOGITS // m.cfg.vocab) // T))
  local p = trace.probe(t, B, T, {logits = true})
  for first = 1, #starts, B do
    local rows = math.min(B, #starts - first + 1)
    for row = 1, rows do
      local tokens, targets = trace.window(ids, starts[first + row - 1], T)
      engine.put(p.fields.tokens[row], tokens)
      engine.put(p.fields.targets[row], targets)
    end
    local last = first + rows - 1
    local seen = last > 1 and starts[last - 1] + T - starts[last] or 0
    p:run()
    keep(t, p, taker(T, rows, seen), wanted)
  end
  t.windows = {length = T, starts = starts}
end

local function joined(list)
  local all = list[1]
  for i = 2, #list do all = all:cat(list[i], 1) end
  return all
end

local function join_all(t)
  t.losses, t.ranks = joined(t._kept.losses), joined(t._kept.ranks)
  engine.put(t.losses:narrow(1, #t.ids, 1), {0 / 0})
  t._kept = nil
  for _, part in ipairs(t._parts) do
    for _, name in ipairs(KEPT) do part[name] = part[name] and joined(part[name]) end
  end
end

-- ---- layers ----

local SHOWN = {"label", "router", "experts", "gates", "placed", "scores", "margin", "E", "K"}

local function mixture_of(part)
  local values = {name = part.name}
  for _, name in ipairs(SHOWN) do values[name] = part[name] end
  return fields.object(Mixture, values)
end

local function one_line(x)
  if not x.experts then return x.label .. ": no experts" end
  local margin = x.margin and (", margin %.3g in the mean"):format(x.margin:mean():item()) or ""
  return ("%s: %d tokens, %d of %d experts by %s%s"):format(x.label, x.experts.shape[1], x.K, x.E,
    x.router, margin)
end
function Mixture.__tostring(x) return one_line(x) end
function Layer.__tostring(x) return one_line(x) end

local function layer_of(t, l)
  local list = t:_parts_of(l)
  local values = {number = l, label = t._labels[l] or "layer " .. l}
  for _, name in ipairs(list[1] and SHOWN or {}) do values[name] = list[1][name] end
  values.mixtures = fields.numbered(values.label, "mixture", #list, function(i)
    return mixture_of(list[i])
  end, "the mixtures are the model's")
  return fields.object(Layer, values)
end

function methods:_parts_of(l)
  local list = {}
  for _, part in ipairs(self._parts) do
    if part.layer == l then list[#list + 1] = part end
  end
  return list
end

local function number_of(t, name)
  for l = 1, type(name) == "string" and t._layer_count or 0 do
    if t._labels[l] == name then return l end
  end
end

--- The mixture of layer l that is meant, by number or label; what: the function that asks.
function methods:_part(what, l, mixture)
  local number = number_of(self, l) or l
  if math.type(number) ~= "integer" or number < 1 or number > self._layer_count then
    error(("%s: there is no layer %s; they are numbered 1 to %d"):format(what, tostring(l),
      self._layer_count), 0)
  end
  local list = self:_parts_of(number)
  if #list == 0 then
    error(("%s: layer %s has no experts%s"):format(what, tostring(l),
      self._options.layers and ", or is none of those that were traced" or ""), 0)
  end
  return list[mixture or 1] or error(("%s: layer %s has %d mixtures, there is no %s"):format(what,
    tostring(l), #list, tostring(mixture)), 0)
end

--- t.layers of a trace whose parts are there.
function trace.finish(t)
  local function layer(l) return layer_of(t, l) end
  t.layers = fields.numbered("trace", "layer", t._layer_count, layer, "they are the model's",
    function(name) return number_of(t, name) end)
  return t
end

-- The layers that are asked for, as a set; nil: all.
local function wanted_of(m, list)
  if not list then return nil end
  local set, with = {}, {}
  for l in pairs(m._moe) do with[#with + 1] = l end
  table.sort(with)
  if #list == 0 then fail("layers is empty") end
  for _, l in ipairs(list) do
    if not m._moe[l] then
      fail("layers has %s; with experts are: %s", tostring(l),
        #with > 0 and table.concat(with, ", ") or "none")
    end
    set[l] = true
  end
  return set
end

-- ---- tokens as text ----

--- The text of each of these ids, as they stand for themselves.
function trace.texts(m, ids)
  local list = {}
  for i, id in ipairs(ids) do
    list[i] = m.tokenizer and id < m.tokenizer.size and m.tokenizer:decode({id}, {continued = true})
      or ("%d "):format(id)
  end
  return list
end

local function traced(x, given, asked)
  local o = options.read("trace", asked, trace.rows)
  local m, name, step = model_of(x, o)
  if type(given) == "function" then given = given(m) end
  local ids, inputs = read_text(m, given)
  local wanted = wanted_of(m, o.layers)
  local t = fields.object(Trace, {ids = ids, inputs = inputs, of = name, precision = o.precision})
  t._model, t._options, t._parts, t._kept, t._labels = m, o, {}, {}, m._labels
  t._loaded_step = step
  t._layer_count, t._texts = #m.layers, trace.texts(m, ids)
  t._input_texts = inputs and trace.texts(m, inputs)
  t.text = table.concat(t._texts)
  m:_quietly(function()
    t.step = step or m:_steps()
    run_windows(t, wanted)
  end)
  join_all(t)
  return trace.finish(t)
end

--- trace(m or r, text or ids, {layers=, precision=, windows=, step=, code=}) -> t
function trace.trace(x, given, ...)
  if type(given) == "function" then
    error("trace: takes a text or token ids, got function", 2)
  end
  return options.call(traced, x, given, ...)
end

--- The same where the text is what given(model) returns.
trace.of_run = traced

-- ---- what can be asked ----

function methods:at(i) return options.call(story.at, self, i) end

function methods:counterfactual(i, l, mixture)
  return options.call(story.counterfactual, self, i, l, mixture)
end

function methods:save(path) return file.save(self, path) end

guard(methods, "a trace", "t", function(v) return getmetatable(v) == Trace end)

function Trace.__tostring(t) return text.plain(t) end
Trace.painted = function(t, pens) return text.painted(t, pens) end

return trace
