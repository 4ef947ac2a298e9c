-- A run: what r:NAME() does, and what r.NAME is and takes.  lua/run/train.lua has train() and its
-- options.
--
-- A run's program is traced here, its steps are executed by the trainer's thread in C.  Setting a
-- field takes effect between two steps; what changes a shape traces and plans again meanwhile.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local lazy = require "switchyard.core.lazy"
local ablation = lazy "switchyard.lab.ablation"
local traced = lazy "switchyard.lab.trace_series"
local card = lazy "switchyard.prompt.card"
local generate = lazy "switchyard.model.generate"
local health = lazy "switchyard.lab.health"
local hooks = require "switchyard.run.hooks"
local inputs = lazy "switchyard.run.inputs"
local live = require "switchyard.model.live"
local nn = require "switchyard.model.nn"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"
local directory = lazy "switchyard.run.directory"
local reroute = lazy "switchyard.run.reroute"
local series = require "switchyard.run.series"
local surgery = require "switchyard.run.surgery"
local teacher = lazy "switchyard.run.teacher"
local verbs = require "switchyard.run.verbs"
local why = lazy "switchyard.run.why"
local Model = require("switchyard.model.model")._Model

local router_health = lazy "switchyard.model.router_health"

local runs = {list = {}, by_name = {}}
local Run = {}

-- ---- tracing and planning ----

-- Losses are told apart by these fields of the batch, where the data or the objectives are several.
local function tell_apart(d)
  if not nn._learns(d) and d.mode == "train" then return end
  if d.objectives and d.objectives:count() > 1 then d.apart = d.batch.objectives end
  if #d.data.sources > 1 then d.apart = d.batch.sources end
end

-- What is minimized, where it is more than the loss; for people: aside.
local function observe_total(d, loss, total)
  if not nn._learns(d) or rawequal(loss, total) then return end
  if d.observed and d.observed.total_loss then return end -- the model's own
  d.graph:observe("total_loss", total, "value", 0, "", nil, true)
end

-- kind: "begin" (the first micro-batch of a step), "add" (the others), "eval", "count" (before
-- them all), or "health" (looks at the first of few steps).
-- across: what phases have in common: carried, tensors that gather over micro-batches, by name;
-- totals: what is known of all of them before, counted_for: the coefficients that need it, and 1:
-- it is needed always; remarks: what is to be said; ends: {step=, why=} of the last step
-- that they can do, {}: of any; by: engine.objectives, or nil.
local function trace(m, kind, params, data, o, across)
  local loss, total, losses
  local function result(d)
    local taught = o.teacher and d.mode == "train"
    tell_apart(d)
    if taught then d.result = Model.logits_of(d.result) end
    loss, losses, total = Model.loss_of(d)
    total = total or loss
    if taught then total = teacher.mixed(d, o, total) end
    if kind == "health" then
      router_health.gradients(d, total)
      if not d.sees then return end
    end
    for _, aux in ipairs(d.aux) do total = total + aux end
    observe_total(d, loss, total)
    d.phase = engine.phase(d.graph, kind, loss, total, params, o.recompute, losses)
  end
  local unmet = {}
  for name, v in pairs(kind == "begin" and m._unread or {}) do unmet[name] = v end
  local d = m:_record({mode = kind == "eval" and "eval" or "train", precision = o.precision,
    kind = kind, unmet = unmet, data = data, objectives = across.by,
    shaping = {smooth = o.label_smoothing or 0, z = o.z_loss or 0},
    accumulate = o.accumulate, steps = o.steps,
    carried = across.carried, totals = across.totals, remarks = across.remarks,
    counted_for = across.counted_for, ends = across.ends},
    o.batch, o.context, result)
  m:_check_met(unmet)
  return d.phase
end

-- What is done before a step to know what its micro-batches come to, for people.
local function counting(phases, o)
  local _, _, counts = phases.count:size()
  local _, _, begins = phases.begin:size()
  local _, _, adds = phases.add:size()
  local share = o.accumulate * counts / (begins + (o.accumulate - 1) * adds)
  return ("scope = \"step\": a forward pass up to the last router counts the loads of the %d "
    .. "micro-batches before a step, %.0f%% more FLOPs"):format(o.accumulate, 100 * share)
end

-- What a look at the routers takes, where it is memory.
local function look(phases, o)
  local most = 0
  for name, phase in pairs(phases) do
    most = name ~= "health" and math.max(most, phase:size()) or most
  end
  local more = phases.health:size() - most
  return more > 0 and ("a look at router health, every %d steps, takes %s of activations more")
    :format(o.health_every, engine.bytes(more)) or nil
end

--- Trace and plan: the plan, the bytes of its arena, and lines of what it does beside.
local function make_plan(m, params, data, o, by)
  local across = {carried = {}, totals = {}, remarks = {}, by = by, counted_for = {}, ends = {}}
  local phases = {begin = trace(m, "begin", params, data, o, across)}
  if o.accumulate > 1 then phases.add = trace(m, "add", params, data, o, across) end
  local said, weights = across.remarks, nil
  m._weights, m._totals = {}, across.totals
  if next(across.totals) then
    weights = inputs.weights(across.counted_for)
    phases.count = trace(m, "count", params, data, o, across)
    said[#said + 1] = inputs.counts(m, weights, counting(phases, o))
  end
  phases.eval = trace(m, "eval", params, data, o, across)
  if o.health_every > 0 and router_health.any(m) then
    phases.health = trace(m, "health", params, data, o, across)
    said[#said + 1] = phases.health and look(phases, o)
  end
  if o.teacher then said[#said + 1] = teacher.text(m, o) end
  m._ends = across.ends
  local plan, bytes = engine.plan(phases, o, m.cfg.top_k or 0, weights)
  return plan, bytes, said
end

-- ---- starting ----

local optimizers = engine.optimizers()
local CHOSEN = {
  {what = "optimizer", list = optimizers, now = function(r) return r._o.optimizer end},
  {what = "schedule", list = engine.schedules(), now = function(r) return r._h:get "schedule" end},
}

--- Why a hyper-parameter is without effect on a run: only other optimizers read it, or other
-- schedules, or routers; nil: it is not.
function Run._ignored(r, name)
  if name == "health_every" and not router_health.any(r._m) then
    return "the model has no router"
  end
  for _, of in ipairs(CHOSEN) do
    local now = of.now(r)
    for _, one in ipairs(of.list) do
      if one.name == now and one.ignores[name] then
        return ("the %s is %s"):format(of.what, now)
      end
    end
  end
end

local function say_size(r)
  local c, o, beside = r._m:count(), r._o, r._beside
  local tokens = o.batch * (o.context + (r._m:_inputs() or 0)) * o.accumulate
  local where = r._h:dir() and
    (", %s a checkpoint in %s"):format(engine.bytes(r._h:checkpoint_bytes()), r._h:dir()) or ""
  engine.line(
    ("%s: %.2f M parameters (%.2f M active), %d tokens a step, %s; memory: %s state, %s "
    .. "activations%s")
    :format(r.name, c.total / 1e6, c.active / 1e6, tokens, o.precision,
      engine.bytes(r._h:state_bytes()), engine.bytes(r._arena), where))
  for _, line in ipairs(beside) do engine.line(("%s: %s"):format(r.name, line)) end
end

-- {data=, name= (of a mix), options= (it was made with)} of each part of a mix, or of the one.
local function parts_of(d)
  local spec, out = engine.data_spec(d) or {}, {}
  if spec.kind ~= "mix" then return {{data = d, options = spec.options}} end
  for i, part in ipairs(spec.parts) do
    out[i] = {data = part.data, name = ("'%s': "):format(part.name),
              options = (engine.data_spec(part.data) or {}).options}
  end
  return out
end

-- How pairs stand in rows, and what is longer than one.
local function say_packing(r)
  local S, T = r._m:_inputs() or 0, r._h:get "context"
  for _, part in ipairs(parts_of(r._d)) do
    local fits, p = pcall(engine.packing, part.data, false, S, T)
    if fits and p then -- else it is refused elsewhere, or text
      local line = ("%s: %s%d pairs in %d rows of %s tokens, %d%% of them padding"):format(r.name,
        part.name or "", p.pairs, p.rows, S > 0 and S .. " and " .. T or T,
        math.floor(100 * (1 - (p.input_tokens + p.target_tokens) / (p.rows * (S + T)))))
      if p.left > 0 then line = ("%s; %d longer ones are left out"):format(line, p.left) end
      if p.cut > 0 then line = ("%s; %d longer ones are cut"):format(line, p.cut) end
      engine.line(line)
    end
  end
end

-- r.val_loss stays nil, or a part of a mix is not in it, where the validation part has no window,
-- which is said unless it was wanted so.
local function say_no_validation(r)
  if r._h:get "eval_every" == 0 then return end
  for _, part in ipairs(parts_of(r._d)) do
    local by = part.data.pairs == 0 and r._by or nil
    local fits, why = pcall(engine.eval_windows, part.data, r._h:get "context", 1, r._m:_inputs(),
      by)
    if not fits and not (part.options and part.options.val == 0) then
      engine.line(("%s: no validation: %s%s"):format(r.name, part.name or "",
        why:gsub("^[^\n]-:%d+: ", ""):gsub("^data: ", "")))
    end
  end
end

local function tensors_of(m, o)
  local states = {}
  for i, name in ipairs(m._state_names) do states[i] = m.states[name] end
  return m.params, m._info, states, o.optimizer or optimizers[1].name -- none: an older run
end

--- A run that is not among runs() and does not train yet; o: what read_options gave, with a name.
function Run._make(m, d, o)
  local by = objective.handle(o.objective, d.tokenizer or m.tokenizer)
  engine.check_batch(d, o.batch, o.context, m:_inputs(), by)
  m._programs = {} -- their memory is better used by the run; made anew when asked for
  local params = engine.params(tensors_of(m, o))
  local plan, arena, beside = make_plan(m, params, d, o, by)
  local r = setmetatable({}, Run)
  local function dispatch(step) Run._dispatch(r, step) end
  local handle = engine.trainer(o.name, params, plan, d, o, teacher.flops(m, o),
    o.precision == "bf16", dispatch, by)
  for k, v in pairs {_h = handle, _m = m, _o = o, _d = d, _arena = arena, _hooks = {}, samples = {},
                     _beside = beside, _fresh = m._fresh or false, _by = by or false} do
    rawset(r, k, v)
  end
  m._languages = engine.languages(d) or m._languages
  if m._owner then rawset(m._owner, "_successor", o.name) end
  m._run, m._run_name, m._owner, m._fresh = handle, o.name, r, false
  m._objective = o.objective
  o.traced = o.trace_every > 0 and traced.text(r) or nil
  return r
end

--- Among runs() from now on; its thread runs, paused if o.paused.
function Run._launch(r)
  say_size(r)
  say_packing(r)
  say_no_validation(r)
  if r._o.paused then r._h:pause() end
  if r._o.traced then traced.begin(r) end
  local tokens = r._o.traced and r._o.traced.texts
  r._h:start(false, r._m._labels, r._d.sources, tokens) -- or there was no thread to be had
  runs.list[#runs.list + 1] = r
  runs.by_name[r.name] = r
  return r
end

--- May a new run be called so?  Raises.  in_memory: the name may be taken on disk; folder: where
-- its directory is to be, or nil.
function Run._check_name(what, name, in_memory, folder)
  local ok, why = engine.store_name_ok(name, true)
  if not ok then error(what .. ": " .. why:gsub("^run: ", ""), 0) end
  if runs.by_name[name] then
    error(what .. ": there is a run called '" .. name .. "' already", 0)
  end
  if not in_memory and directory.taken(name, folder) then
    error(("%s: %s/%s exists already; resume it with train.resume %q, or take another name")
      :format(what, folder or engine.runs_dir(), name, folder and folder .. "/" .. name or name), 0)
  end
end

function Run._live(name) return runs.by_name[name] end

-- The directory of r; without it the run goes on.
local function make_directory(r, what, more)
  local ok, why, code = directory.create(r, more)
  if ok then return end
  if code == "STATE" then
    r._h:close()
    error(("%s: %s"):format(what, why), 0)
  end
  if r._store then -- half of a directory is none
    local store = r._store
    rawset(r, "_store", nil)
    store:close()
  end
  r._h:homeless(why)
  r._h:alarm("RECORD", r.step, ("nothing is written: %s; the run goes on"):format(why))
end
Run._make_directory = make_directory

-- A run that could not begin: its name is free again, and the model is nobody's.
function Run._give_back(r)
  local store = rawget(r, "_store")
  rawset(r, "_store", nil)
  r._h:close()
  r._m._run, r._m._owner = nil, nil
  if not store then return end
  store:remove()
  store:close()
end

-- ---- methods ----

local methods = {}

-- Parameters belong to the newest run of a model: an older one cannot go on.
local function check_goes_on(r, what)
  local by = rawget(r, "_successor")
  if by then
    error(("%s: the model of run '%s' has been trained by run '%s' since"):format(what, r.name, by),
      3)
  end
end

Run._check_goes_on = check_goes_on

--- r:wait(step): until that step, or until the run no longer runs
function methods:wait(step)
  if step ~= nil and math.type(step) ~= "integer" then
    error("wait: the step must be a whole number: it is " .. tostring(step), 2)
  end
  if step and step < 0 then error(("wait: the step is %d, must be at least 0"):format(step), 2) end
  repeat -- what works on the run pauses it now and then
    while rawget(self, "_busy") do sleep(0.02) end
    self._h:wait(step)
  until not rawget(self, "_busy")
  while self._h:rewind_wanted() do
    Run._auto_rewind(self)
    self._h:wait(step)
  end
  return self
end

function methods:pause() self._h:pause() return self end
function methods:stop() self._h:stop() return self end

-- What a run that has ended needs before it goes on; nil: nothing.
local function wanting(r)
  local s = r._h:status()
  if s.state == enum.state.FAILED then
    return ("the run failed at step %d; r:rewind(step) goes back before that"):format(s.step)
  end
  if s.state == enum.state.DONE and s.step >= r._h:get "steps" then
    return ("the run is done at step %d; set r.steps first"):format(s.step)
  end
end

--- r:resume(): go on; after r.steps = n a run that was done goes on as well
function methods:resume()
  check_goes_on(self, "resume")
  local wants = wanting(self)
  if wants then engine.event(self.name, "note", "resume has no effect: " .. wants) end
  self._h:resume()
  return self
end

--- r:steps(n): n more steps, then pause
function methods:steps(n)
  if math.type(n) ~= "integer" or n < 1 then
    error("steps: must be a whole number from 1: it is " .. tostring(n), 2)
  end
  check_goes_on(self, "steps")
  local wants = wanting(self)
  if wants then error("steps: " .. wants, 2) end
  self._h:steps(n)
  return self
end

--- r:close(): stop, and give back its memory; the model stays
function methods:close()
  local name, m = self.name, self._m
  if rawequal(m._owner, self) then m._steps_done = m:_steps() end
  self._h:close() -- its store lets go of it
  if self._store then self._store:close() end
  for i, r in ipairs(runs.list) do
    if rawequal(r, self) then table.remove(runs.list, i) break end
  end
  runs.by_name[name] = nil
  if rawequal(m._owner, self) then m._run, m._owner = nil, nil end
end

--- r:eval(batches) -> nats a token on the validation text, without auxiliary losses
function methods:eval(batches)
  return self._m:_quietly(function()
    self._h:settle() -- what was set before holds in it
    return self._h:eval(batches or self._h:get("eval_batches"))
  end)
end

--- r:sample(prompt, options) -> text of the model as it is between two steps
function methods:sample(prompt, given)
  return self._m:generate(prompt or generate.opening(self._m), given)
end

-- The directory of a run that had none; half of one goes again, and its name is free.
local function make_late_directory(r)
  local undo <close> = setmetatable({}, {__close = function()
    local store = r._store
    if r._h:dir() or not store then return end
    rawset(r, "_store", nil)
    rawset(r, "_config", nil)
    store:remove()
    store:close()
  end})
  return directory.create(r)
end

--- r:checkpoint() -> path of the folder written: parameters, optimizer state, states, step, journal
function methods:checkpoint()
  if not self._h:dir() then
    if self._store then
      return nil, "checkpoint: run '" .. self.name .. "' has no directory", "STATE"
    end
    local ok, why, code = self._m:_quietly(make_late_directory, self)
    if not ok then return nil, why, code end
  end
  return self._h:checkpoint()
end

function methods:note(text)
  if type(text) ~= "string" then error("note: takes a text, got " .. type(text), 2) end
  self._h:note("note", text)
  return self
end

--- r:hash() -> 16 hex digits of parameters, optimizer state and states
function methods:hash()
  return self._m:_quietly(function() return self._h:hash() end)
end

--- r:history(name) -> tensor (n,2) of step, value (loss, val_loss, load.2.5 ...), or (n,1+E) of
-- step, E values (load.2)
function methods:history(name)
  return series.history(self._h, name)
end

--- r:series() -> names of all stored series
function methods:series() return series.names(self._h) end

--- r:events() -> list of {step=, time=, kind=, text=}: alarms, checkpoints, resumes, ends
function methods:events()
  if not self._store then return {} end
  self._store:flush()
  return card.events((self._store:entries "events"))
end

--- r:journal() -> list of {step=, kind=, text=, who=}, printed by columns; who: "" is whoever sits
-- at the prompt, the script, or the run itself
function methods:journal() return card.journal(self._h:journal()) end

function methods:why(step) return why.why(self, step) end

--- r:ablate{batches=} -> table: loss without each expert, the run unchanged
function methods:ablate(given) return options.call(ablation.of, self, given) end

function methods:alarms() return why.alarms(self) end

--- r:health() -> a table for each mixture: its router's figures at the newest step
function methods:health() return health.of(self._h, self._m._labels) end

--- r:profile() -> text: seconds a kind of operation since the last call
function methods:profile()
  return self._m:_quietly(function() return self._h:profile() end)
end

--- every(r, n, f) -> hook: f(r) after every n-th step, between two steps
local function every(r, n, f)
  if getmetatable(r) ~= Run then error("every: argument 1 must be a run", 2) end
  if math.type(n) ~= "integer" or n < 1 then
    error("every: the interval must be a whole number from 1: it is " .. tostring(n), 2)
  end
  if type(f) ~= "function" then
    error("every: argument 3 must be a function, got " .. type(f), 2)
  end
  return hooks.add(r, n, f)
end

--- r.samples: texts generated every r.sample_every steps, as {step=, text=}
local function take_sample(r, step)
  local text = r:sample(nil, {tokens = 80, seed = step})
  if type(text) == "table" then text = generate.text_of(r._m, text) end
  r.samples[#r.samples + 1] = {step = step, text = text}
  if r._store then r._store:sample(step, text) end
  engine.event(r.name, "sample", ("sample at step %d: %s"):format(step, text))
end

function Run._dispatch(r, step)
  if step == "rewind" then return Run._auto_rewind(r) end
  if step == "renew" then return directory.renew(r) end
  local every_n = r._h:get("sample_every")
  if every_n > 0 and step % every_n == 0 then take_sample(r, step) end
  local border = rawget(r, "_border") -- alarms that act (lua/lab/alarms.lua)
  if border then border(r, step) end
  hooks.call(r, step)
end

-- ---- fields ----

-- Fields that are read only; those of the status may be nil for want of a value.
local fields = {}
for name in ("state step tokens loss total_loss val_loss current_lr grad_norm tok_s mfu eta "
  .. "load_max_mean dead disabled skipped error name dir model layers samples precision "
  .. "recompute optimizer objective "
  .. "teacher distill_temperature trace_every trace_text")
  :gmatch "%S+" do
  fields[name] = true
end
for _, h in ipairs(engine.hyper()) do
  if h.live == enum.live.NEVER then fields[h.name] = true end
end

local function model_inputs(r, name)
  return r._m.inputs[name]
end

-- A field of the status; what is minimized is the loss where nothing is added to it.
local function status_of(r, name)
  if name == "disabled" then return surgery.disabled(r) end
  local row = name == "total_loss" and r._h:last(name)
  if row then return row[1] end
  return r._h:status()[name == "total_loss" and "loss" or name]
end

--- Names of what a live run may change by r.NAME = x.
function Run._settable(r)
  local names = table.move(r._m._input_names, 1, #r._m._input_names, 2, {"schedule"})
  for _, h in ipairs(engine.hyper()) do
    if h.live ~= enum.live.NEVER then names[#names + 1] = h.name end
  end
  if r._h:mix() then names[#names + 1] = "mix" end
  if r._m.cfg.experts and r._m:_has_option "router" then names[#names + 1] = "router" end
  return table.move(live.names, 1, r._m.cfg.experts and #live.names or 0, #names + 1, names)
end

local function field_names(r, reading)
  local names = Run._settable(r)
  for _, more in ipairs(reading and {fields, methods} or {}) do
    for name in pairs(more) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Not while a rewind, fork, resume or replay works on the run (r._busy says at what): it may be a
-- job beside what is typed.
local ALONE = {}
for name in ("resume steps pause stop close eval sample checkpoint rewind fork layers")
  :gmatch "%S+" do
  ALONE[name] = true
end

-- What is typed meanwhile waits, in its order: `r:rewind(800)`, `r.lr = 5e-4`, `r:resume()` line by
-- line are the same as in a script.  A hook cannot wait for what it holds up.
local function check_alone(r, name)
  if not rawget(r, "_busy") then return end
  if not coroutine.isyieldable() then
    error(("%s: run '%s' is being %s"):format(name, r._o.name, rawget(r, "_busy")), 3)
  end
  local queue, me = rawget(r, "_queue") or {}, {}
  rawset(r, "_queue", queue)
  queue[#queue + 1] = me
  local turn <close> = setmetatable({}, {__close = function() -- also of a job that was ended
    for i = 1, #queue do
      if queue[i] == me then return table.remove(queue, i) end
    end
  end})
  while rawget(r, "_busy") or queue[1] ~= me do sleep(0.02) end
end

Run._check_alone = check_alone

-- Fields that are options, fixed for the run.
local OF_OPTIONS = {}
for name in ("name precision recompute optimizer objective teacher distill_temperature "
  .. "trace_every trace_text"):gmatch "%S+" do
  OF_OPTIONS[name] = true
end

--- Does a live run have a field of this name, whatever its model?
function Run.knows(name)
  return fields[name] or ALONE[name] or live.of_run(name)
end

function Run.__index(r, name)
  if ALONE[name] then check_alone(r, name) end
  if methods[name] then return methods[name] end
  if type(name) ~= "string" or name:sub(1, 1) == "_" then return nil end
  if OF_OPTIONS[name] then return r._o[name] end
  if name == "layers" then return surgery.layers(r) end
  if name == "dir" then return r._h:dir() end
  if name == "model" then return r._m end
  local v = r._h:get(name)
  if v ~= nil then return v end
  if fields[name] then
    if nn.mode() then
      error(("r.%s: a model's function is run once and then repeated without Lua, so this would be "
        .. "the same in all steps: what changes from step to step is an nn.input, which r.NAME = "
        .. "value sets"):format(name), 2)
    end
    return status_of(r, name)
  end
  if live.is(name) then return live.shown(name, r._m.cfg[name]) end
  if name == "router" then return r._m.cfg.router end
  if name == "mix" then return inputs.mix(r, rawget(r, "_given_mix")) end
  if model_inputs(r, name) then return inputs.shown(r, name) end
  local fixed = inputs.fixed(r, name)
  if fixed then error("run: " .. fixed, 2) end
  local _, why = pcall(options.unknown, "run", "field", name, field_names(r, true))
  error(why, 2)
end

-- Trace and plan with changed shapes, then exchange the program between two steps; `after` before
-- anything else.
local function replan(r, after)
  local m, h = r._m, r._h
  m:_quietly(function()
    local o = {}
    for name, v in pairs(r._o) do o[name] = v end
    for _, p in ipairs(engine.hyper()) do
      if p.live == enum.live.PLAN then o[p.name] = h:get(p.name) end
    end
    o.steps = h:get "steps"
    local by = r._by or nil
    engine.check_batch(r._d, o.batch, o.context, m:_inputs(), by)
    if o.context > m.cfg.context then
      error(("train: context is %d, more than the model's %d"):format(o.context, m.cfg.context), 0)
    end
    if o.teacher then teacher.check_lengths(o.teacher, m, o.context) end
    if o.context < 1 then error("train: context is 0, must be at least 1", 0) end
    m._programs = {}
    local plan, _, beside = make_plan(m, h, r._d, o, by)
    h:replan(plan, teacher.flops(m, o))
    for i, line in ipairs(beside) do
      if line ~= r._beside[i] then engine.event(r.name, "note", line) end
    end
    rawset(r, "_beside", beside)
    if after then after() end
  end)
end
Run._replan = replan

-- Of each token.
local function most_experts(r) return math.min(r._m.cfg.experts or 1, surgery.fewest_enabled(r)) end

local function set_shape(r, undo, after)
  local ok, why = pcall(replan, r, after)
  if not ok then
    undo()
    error(why, 0)
  end
end

--- Raise where a run of so many steps would fail behind the last that its model can do.
function Run._check_end(r, steps)
  local ends = r._m._ends
  if type(steps) == "number" and steps > (ends.step or math.huge) then
    error(("train: steps is %s: %s"):format(options.number(steps), ends.why), 0)
  end
end

-- It would end the run at once, or never.
local function check_steps(r, value)
  local s = r._h:status()
  if type(value) == "number" and value < s.step then
    error(("train: steps is %s, the run is at step %d already; r:stop() ends it")
      :format(value, s.step), 0)
  end
  Run._check_end(r, value)
end

-- What a run that does not train needs to do so.
local function waiting(r, steps)
  local s = r._h:status()
  return s.state ~= enum.state.RUNNING and s.step < steps and
    ("; it is %s: r:resume() goes on"):format(s.state) or ""
end

-- At the end of what it had, a run may learn at another rate than is thought.
local function tell_steps(r, steps, goes_on)
  engine.event(r.name, "schedule", ("steps = %d: %s%s"):format(steps, r._h:outlook(),
    goes_on and "" or waiting(r, steps)))
end

--- r.steps = steps of a paused run that is checked; goes_on: the caller resumes it
function Run._set_steps(r, steps, goes_on)
  local old = r._h:get("steps")
  r._h:set("steps", steps)
  if steps ~= old then tell_steps(r, steps, goes_on) end
end

-- Behind the end of what a run does, or by its schedule, a value may come to nothing: r.NAME shows
-- it all the same, so a line says why; for a hook, which sets it at every step, once.  effect: on
-- the rate of the steps that are left.
local function tell_set(r, name, value, effect)
  local s, steps, text = r._h:status(), r._h:get "steps", nil
  local set = ("%s = %s"):format(name, type(value) == "number" and ("%.6g"):format(value) or
    tostring(value))
  if s.state == enum.state.FAILED then
    text = ("%s has no effect: the run failed at step %d; r:rewind(step), then set it")
      :format(set, s.step)
  elseif name == "steps" then
    return tell_steps(r, value)
  elseif s.state == enum.state.DONE and s.step >= steps and name ~= "eval_batches" then
    text = ("%s has no effect yet: the run is done at step %d; r.steps = n and r:resume() go on "
      .. "with it"):format(set, s.step)
  elseif name == "checkpoint_every" and not r._o.save and not r._h:dir() then
    text = ("%s has no effect: the run has no directory (save = false)"):format(set)
  elseif effect ~= enum.effect.RATE then
    text = ("%s %s: %s%s"):format(set, effect == enum.effect.NONE and "has no effect" or
      "moves min_lr alone",
      r._h:outlook(),
      name == "lr" and '; r.schedule = "constant" holds r.lr' or "")
  elseif Run._ignored(r, name) then
    text = ("%s has no effect: %s"):format(set, Run._ignored(r, name))
  end
  local told, key = rawget(r, "_told") or {}, name .. effect
  if not text or rawget(r, "_in_hook") and told[key] then return end
  told[key] = true
  rawset(r, "_told", told)
  engine.event(r.name, "note", text)
end

-- ---- setting fields ----

local function set_live(r, name, value)
  local cfg = r._m.cfg
  local old = cfg[name]
  live.check("train", name, value, cfg, name == "top_k" and most_experts(r))
  if name == "top_k" then verbs.check_top_k(r._m, value) end
  value = live.value(name, value)
  cfg[name] = live.after(name, old, value)
  set_shape(r, function() cfg[name] = old end, function()
    r._h:record{kind = "config", key = name, value = value,
                text = ("%s = %s"):format(name, tostring(value))}
  end)
end

local function set_hyper(r, name, value)
  local old = r._h:get(name)
  if type(old) == "number" and type(value) ~= "number" then
    error(("train: %s takes a number, not %s"):format(name, type(value) == "string" and
      ("the text '%s'"):format(value) or "a " .. type(value)), 0)
  end
  if name == "steps" then check_steps(r, value) end
  if name == "distill" and value ~= old and not r._o.teacher then
    error("train: distill has no effect: the run has no teacher", 0)
  end
  if name == "health_every" and value ~= old and not router_health.any(r._m) then
    error("train: health_every has no effect: the model has no router", 0)
  end
  local effect = r._h:effect(name, value)
  if r._h:set(name, value) == enum.live.PLAN then
    set_shape(r, function() r._h:set(name, old) end)
  end
  if value == old then return end
  tell_set(r, name, value, effect)
  if name == "context" then say_packing(r) end
  if name == "context" or name == "eval_every" then say_no_validation(r) end
end

-- Raise for a name that is no hyper-parameter.
local function refuse(r, name)
  if name == "optimizer" then
    error(("run: optimizer is fixed for the run: what %s keeps of the parameters means nothing to "
      .. "another; train(m, d, {optimizer = ...}) begins a run with another")
      :format(r._o.optimizer), 0)
  end
  if r._o[name] ~= nil or OF_OPTIONS[name] then
    error(("run: %s is fixed for the run: train(m, d, {%s = ...}) begins one with another")
      :format(name, name), 0)
  end
  if fields[name] or methods[name] then error(("run: %s cannot be set"):format(name), 0) end
  inputs.refuse(r, name)
  options.unknown("train", "field", name, field_names(r))
end

-- Shares of a mix of data: a list, one a data set.
local function set_mix(r, value)
  local now, text = r._h:mix(), {}
  if not now then error("train: mix has no effect: the data is no mix (data.mix)", 0) end
  if type(value) ~= "table" or #value ~= #now then
    local is = type(value) ~= "table" and "a " .. type(value) or #value == 0 and next(value) and
      ("a table with the name '%s'"):format(tostring(next(value))) or "of " .. #value
    error(("train: mix takes a list of %d shares, in the order of data.mix: it is %s"):format(#now,
      is), 0)
  end
  for i, share in ipairs(value) do
    options.check("train", "mix[" .. i .. "]", share, {"mix", "number", nil, 0, 1e9})
    text[i] = options.number(share)
  end
  local list = "{" .. table.concat(text, ", ") .. "}"
  r._h:apply{kind = enum.entry.MIX, values = tensor(value):cast "f32", text = "mix = " .. list}
  rawset(r, "_given_mix", value)
  tell_set(r, "mix", list, enum.effect.RATE)
end

local function set(r, name, value)
  if name == "mix" then return set_mix(r, value) end
  if name == "router" then return reroute.set(r, value) end
  if live.is(name) then return set_live(r, name, value) end
  if model_inputs(r, name) then return inputs.assign(r, name, value) end
  if r._h:get(name) == nil then refuse(r, name) end
  set_hyper(r, name, value)
end

function Run.__newindex(r, name, value)
  if type(name) ~= "string" then error(("run: it has no field %s"):format(tostring(name)), 2) end
  check_alone(r, name)
  local ok, why = pcall(set, r, name, value)
  if not ok then options.raise(why, 2) end
end

function Run.__tostring(r)
  if runs.by_name[r.name] ~= r then return ("run %s: closed"):format(r.name) end
  return card.run(r.name, r._h, r._o, r._d.sources)
end

Run.__name = "run"
Run.methods, Run.fields = methods, fields -- for completion; rewind.lua and fork.lua add to both
Run.list = runs.list

return {every = every, Run = Run}
