-- train(m, d, {teacher = t, distill = 0.25}): m learns the text, and what another model says of it.
--
--     loss = (1 - distill) hard + distill temperature^2 soft
--     hard: as without a teacher, with label_smoothing and z_loss
--     soft: mean over the targets that count of the cross entropy from softmax(t's logits /
--           temperature) to softmax(m's logits / temperature)
--
--  1. The teacher is a copy, made when the run begins: what becomes of t later is nothing to it.
--     Its parameters are frozen, it is evaluated (mode "eval") in the program of the step, on the
--     step's batch, and nothing of it is observed, updated or drawn.
--  2. It is recorded behind the loss, so that the draws of m keep their numbers, and of m's logits,
--     which are held whole, the fused head's bits come: with distill = 0 the run has the bits of
--     one without a teacher.
--  3. It is kept with the run, in teacher/ of its directory, and known by its hash.
--
-- Hinton et al. 2015; Fedus et al. 2021 (mixtures into dense models: 0.25).

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local nn = require "switchyard.model.nn"
local model = require "switchyard.model.model"
local Model = model._Model
local teacher = {}

local function fail(...) error("train: " .. string.format(...), 0) end

-- ---- which models can teach ----

local function check_vocab(t, m, tok)
  local its = not rawequal(t.tokenizer, t._assumed) and t.tokenizer or nil
  if t.cfg.vocab ~= m.cfg.vocab then
    fail("the teacher's vocab is %d, the model's is %d: they must be the same", t.cfg.vocab,
      m.cfg.vocab)
  end
  if its and tok and its ~= tok then
    fail("the teacher's tokenizer (%s with %d ids, hash %s) is not the model's (%s with %d ids, "
      .. "hash %s)", its.kind, its.size, its.hash, tok.kind, tok.size, tok.hash)
  end
end

--- Raise where the teacher cannot read what the model reads.
local function check_lengths(t, m, context)
  local S, its = m:_inputs(), t:_inputs()
  if not S ~= not its then
    fail("the %s has an encoder, the %s has none: they do not read the same",
      its and "teacher" or "model", its and "model" or "teacher")
  end
  if context > t.cfg.context then
    fail("context is %d, more than the teacher's %d", context, t.cfg.context)
  end
  if S and S > its then fail("input_context is %d, more than the teacher's %d", S, its) end
end

-- What a model's options say of what a token sees, and how it is said to people.
local SEES = {prefix = "a prefix whole", documents = "its own document alone"}

-- The teacher says what it thinks of a target from what it sees: that must be what the model sees.
-- After `prefix` and `documents` of the model have been chosen (lua/run/train.lua).
local function check_sight(t, m)
  if m:_inputs() then return end
  for _, name in ipairs {"prefix", "documents"} do
    local its, own = t.cfg[name] == true, m.cfg[name] == true
    if its ~= own then
      fail("%s sees %s, %s does not: %s is %s of the teacher, %s of the model",
        its and "the teacher" or "the model", SEES[name], its and "the model" or "the teacher",
        name, its, own)
    end
  end
end

-- ---- the copy ----

-- Of all that it computes with.
local function hash_of(t)
  local parts = {t.family}
  local function add(name, x) parts[#parts + 1] = name .. " " .. x:hash() end
  for i, info in ipairs(t._info) do add(info.name, t.params[i]) end
  for _, name in ipairs(t._state_names) do add(name, t.states[name]) end
  local names = table.move(t._input_names, 1, #t._input_names, 1, {})
  table.sort(names)
  for _, name in ipairs(names) do add(name, t.inputs[name]) end
  return engine.hash(table.concat(parts, "\n"))
end

-- A model that is ours alone, from now on a teacher.
local function adopt(t)
  for _, info in ipairs(t._info) do info.frozen = true end
  t._hash = hash_of(t)
  return t
end

local function copy_of(m)
  local t = Model.new(m.family, json.plain(m.cfg, "train", "the teacher's configuration"), true)
  m:_quietly(function()
    for i, info in ipairs(t._info) do engine.copy(t.params[i], m.params[info.name]) end
    for _, name in ipairs(t._state_names) do engine.copy(t.states[name], m.states[name]) end
    for _, name in ipairs(t._input_names) do engine.copy(t.inputs[name], m.inputs[name]) end
  end)
  t.tokenizer, t._objective, t._steps_done = m.tokenizer, m._objective, m:_steps()
  t._fresh = false
  return t
end

--- What model m of a run with options o is taught by, or nil.  given: those that were given; tok:
-- the run's tokenizer.
function teacher.take(m, o, given, tok)
  local t = o.teacher
  for _, name in ipairs {"distill", "distill_temperature"} do
    if t == nil and given and given[name] ~= nil then
      fail("%s has no effect without a teacher: {teacher = m, ...}", name)
    end
  end
  if t == nil then return nil end
  if type(t) ~= "table" or not t._forward then
    fail("teacher must be a model, got %s", type(t))
  end
  check_vocab(t, m, tok)
  check_lengths(t, m, o.context)
  return adopt(copy_of(t))
end

-- ---- on disk ----

--- What the configuration of a run says of it.
function teacher.config(t) return t and {hash = t._hash, family = t.family} or nil end

function teacher.save(t, path)
  if not t then return true end
  return t:save(path .. "/teacher")
end

--- That of a stored run; raises where it is another, or gone.
function teacher.stored(what, path, config)
  local c = config.teacher
  if not c then return nil end
  local t, why = model.load(path .. "/teacher")
  if not t then error(("%s: the teacher of the run: %s"):format(what, why), 0) end
  if adopt(t)._hash ~= c.hash then
    error(("%s: the teacher of the run changed: the hash of %s/teacher is %s, was %s"):format(what,
      path, t._hash, c.hash), 0)
  end
  return t
end

-- ---- in the program ----

-- A graph that takes nothing but operations: layers are no segments of the model that learns.
local BARE = {segment = function() end}

-- Its inputs are what they are.
local function constants(t)
  local inputs = {}
  for _, name in ipairs(t._input_names) do inputs[name] = t.inputs[name] end
  return inputs
end

-- Logits (N,V) for the batch of d.
local function logits_of(t, d)
  local steps = t:_steps()
  local own = {mode = "eval", model = t, graph = BARE, batch = d.batch, fields = d.fields,
               lengths = d.lengths, data = d.data, objectives = d.objectives,
               positions = d.positions, inputs = constants(t), step = true,
               step_number = tensor.full(steps + 0.0)}
  return nn.describe(own, function()
    local result = t._forward(d.batch.tokens, d.batch)
    nn._finish(own)
    return Model.logits_of(result)
  end)
end

-- Mean over the targets that count, as Model.loss_of has it of the losses (N).
local function mean(d, losses)
  local counts = d.batch.targets:view(-1):ge(0):cast "f32"
  local sum = losses * counts
  if d.data and not engine.field_missing(d.data, "weights", d.objectives) then
    sum = sum * d.batch.weights:view(-1)
  end
  return sum:sum() / counts:sum():maximum(1)
end

--- Cross entropy from softmax(b / temperature) to softmax(a / temperature) of each row (N); a, b
-- (N,V) logits.
function teacher.cross_entropy(a, b, temperature)
  if temperature ~= 1 then a, b = a / temperature, b / temperature end
  return -(b:softmax(-1) * a:log_softmax(-1)):sum(-1)
end

--- What is minimized in place of `hard`, recorded in d, whose result are the logits.
function teacher.mixed(d, o, hard)
  local t = o.distill_temperature
  local soft = mean(d, teacher.cross_entropy(Model.logits_of(d.result), logits_of(o.teacher, d), t))
  nn._observe_of_all("distill_loss", soft, "distill_loss")
  local share = d.graph:input("hyper.distill", "f32", {})
  return hard * (1 - share) + soft * (share * t ^ 2)
end

teacher.check_lengths, teacher.check_sight = check_lengths, check_sight

-- ---- what it costs ----

--- Model FLOPs of a step a token: of what learns, and of the teacher's forward pass.  0: not known,
-- as the number of experts that a token gets varies.
function teacher.flops(m, o)
  local own, its = m:count(o.context), o.teacher and o.teacher:count(o.context)
  if own.varies or its and its.varies then return 0 end
  return own.flops_per_token + (its and its.flops_per_token / 3 or 0)
end

--- For people, of a run: who teaches it, what share, and the newest loss.
function teacher.line(t, h)
  local loss = h:last "distill_loss"
  return ("  teacher  model.%s, %.2f M parameters, hash %s; distill %g%s"):format(t.family,
    t:count().total / 1e6, t._hash, h:get "distill",
    loss and (", loss %.3f"):format(type(loss) == "table" and loss[1] or loss) or "")
end

--- For people, before the first step.
function teacher.text(m, o)
  local c, own = o.teacher:count(o.context), m:count(o.context).flops_per_token
  return ("teacher: model.%s, %.2f M parameters (%.2f M active), %s, in each step: %.0f%% more "
    .. "FLOPs"):format(o.teacher.family, c.total / 1e6, c.active / 1e6, engine.bytes(4 * c.total),
    100 * c.flops_per_token / 3 / own)
end

return teacher
