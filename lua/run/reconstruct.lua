-- What resuming, rewinding, forking and replaying have in common: entries of the journal, repeating
-- steps with them, loading a checkpoint into a run, and making a run again from its directory.  See
-- lua/run/resume.lua, rewind.lua, fork.lua, replay.lua.
--
--   1. The journal in a checkpoint is a prefix of the run's; what is to be repeated are the entries
--      behind it.
--   2. While steps are repeated nothing is announced, saved or written down, and no hook runs
--      (h:repeating).

local engine = require "switchyard.engine"
local definition = require "switchyard.core.definition"
local enum = require "switchyard.core.enum"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local live = require "switchyard.model.live"
local parts = require "switchyard.run.expert_parts"
local reroute = lazy "switchyard.run.reroute"
local surgery = require "switchyard.run.surgery"
local Run = require("switchyard.run.run").Run
local teacher = lazy "switchyard.run.teacher"
local train = require "switchyard.run.train"

local SLICE = 0.3 -- seconds of steps between two looks at progress
local PLAN = {} -- hyper-parameters that need a new plan
for _, h in ipairs(engine.hyper()) do PLAN[h.name] = h.live == enum.live.PLAN or nil end
local KINDS = engine.entry_kinds() -- include/switchyard/journal.h

-- ---- entries ----

--- Does an entry change what follows?  All others are for people.
local function has_effect(e) return KINDS[e.kind] ~= nil and KINDS[e.kind].effect end

--- Entries of a store's journal in their order, as h:journal() has them, to be looked at.
local function all_entries(store)
  local list = assert(store:journal())
  table.sort(list, function(a, b) return a.step < b.step or a.step == b.step and a.id < b.id end)
  return list
end

--- The same to be repeated: raises for one that is not known, for nobody can tell what it does.
local function stored_journal(store)
  local list = all_entries(store)
  for _, e in ipairs(list) do
    local unknown = e.unknown or e.kind == "config" and not live.is(e.key) and
      ("no option '%s' of models that changes while they train"):format(e.key)
    if unknown then
      error(("%s: step %d, made by a newer program"):format(unknown, e.step), 0)
    end
  end
  return list
end

-- What comes behind a checkpoint's journal in that of its run.
local function behind(journal, image)
  local at_step, list = 0, {}
  for _, e in ipairs(image.journal) do at_step = at_step + (e.step == image.step and 1 or 0) end
  for _, e in ipairs(journal) do
    if e.step > image.step or e.step == image.step and at_step <= 0 then list[#list + 1] = e end
    if e.step == image.step then at_step = at_step - 1 end
  end
  return list
end

local function before(entries, step)
  local list = {}
  for _, e in ipairs(entries) do
    if e.step < step then list[#list + 1] = e end
  end
  return list
end

-- What an option of the model was set to; nil is a value.
local function config_value(e) return live.value(e.key, e.value) end

-- What the host does again, and the trainer's kinds that concern the model as well.
local host = {}

host[enum.entry.CONFIG] = function(r, e)
  local cfg = r._m.cfg
  cfg[e.key] = live.after(e.key, cfg[e.key], config_value(e))
  Run._replan(r, function() r._h:record(e) end)
end

host[enum.entry.ROUTER] = function(r, e)
  reroute.again(r, e, function() r._h:record(e) end)
end

host[enum.entry.RESET] = function(r, e)
  local m, h = r._m, r._h
  m:_quietly(function()
    surgery.redraw(m, h, e)
    h:record(e)
  end)
end

for _, verb in ipairs {"clone", "swap", "merge"} do
  host[enum.entry[verb:upper()]] = function(r, e)
    local m, h = r._m, r._h
    m:_quietly(function()
      parts[verb](m, h, e)
      if verb == "swap" and m._rules then
        m._rules = parts.ruled(m._rules, e, e.values)
        Run._replan(r)
      end
      h:record(e)
    end)
  end
end

for _, verb in ipairs {"force", "forbid"} do
  host[enum.entry[verb:upper()]] = function(r, e)
    r._m._rules = parts.ruled(r._m._rules, e, e.values)
    Run._replan(r, function() r._h:record(e) end)
  end
end

host[enum.entry.SET] = function(r, e)
  r._h:apply(e)
  if PLAN[e.key] then Run._replan(r) end
end

host[enum.entry.INPUT] = function(r, e)
  local mine = r._m.inputs[e.key]
  r._h:apply(e)
  if mine then engine.copy(mine, e.values) end
end

local function apply(r, e)
  local who = KINDS[e.kind].replay
  if host[e.kind] then host[e.kind](r, e)
  elseif who == "trainer" then r._h:apply(e)
  elseif who == "noted" then r._h:record(e) end -- what a rule made it makes again
end

-- ---- repeating ----

-- A function that tells of progress every 2 s: to say(text), or as an event.
local function progress(r, what, say)
  local told = engine.now()
  return function(step, last)
    if engine.now() - told < 2 then return end
    told = engine.now()
    local text = ("%s: step %d/%d"):format(what, step, last)
    if say then say(("[%s] %s"):format(r.name, text)) else engine.event(r.name, what, text) end
  end
end

--- Wait until the run stands; a job that does says what is done to the run.
local function wait_still(r)
  r._h:wait(nil, ("run '%s' is being %s"):format(r._o.name, rawget(r, "_busy") or "repeated"))
end

-- Steps up to `target`, then paused.
local function walk(r, target, last, tell)
  local h, at = r._h, r._h:status().step
  local n = 1
  while at < target do
    local begun = engine.now()
    h:steps(math.min(n, target - at))
    wait_still(r)
    local s = h:status()
    if s.step == at then
      error(("step %d does not come: the run is %s%s"):format(at + 1, s.state,
        s.error and ": " .. s.error or ""), 0)
    end
    local each = (engine.now() - begun) / (s.step - at)
    n = math.max(1, math.min(1000, SLICE / math.max(each, 1e-6) // 1))
    at = s.step
    tell(at, last)
  end
end

--- Entries at their steps, and steps up to `target` (nil: the last entry's).  The run is paused
-- before and after.
local function go_through(r, entries, target, what)
  local last = target or #entries > 0 and entries[#entries].step or 0
  local tell = progress(r, what)
  for _, e in ipairs(entries) do
    walk(r, e.step, last, tell)
    apply(r, e)
  end
  if target then walk(r, target, last, tell) end
end

-- ---- loading ----

-- What a live run may change of its model, at the end of a journal.
local function shape_at(config, journal)
  local shape = {}
  for _, name in ipairs(live.names) do shape[name] = config.model.config[name] end
  for _, e in ipairs(journal) do
    if e.kind == enum.entry.CONFIG then
      shape[e.key] = live.after(e.key, shape[e.key], config_value(e))
    end
  end
  return shape
end

-- Which tokens are forced to experts at the end of the journal of a checkpoint (in `path`, where
-- the values of entries are).
local function rules_at(config, journal, path)
  local all, values = config.model.rules, nil
  for i, e in ipairs(journal) do
    if e.kind == enum.entry.FORCE or e.kind == enum.entry.FORBID or e.kind == enum.entry.SWAP then
      values = values or assert(tensor.load(path .. "/state.safetensors"))
      all = parts.ruled(all, e, values["journal." .. i])
    end
  end
  return all
end

--- A plan as the checkpoint in `path` was made with.  always: whatever the shape seems to be, for a
-- change may have ended half done.
local function reshape(r, path, image, always)
  local h, other = r._h, always
  local router = reroute.at(image.journal)
  if r._m._routed ~= router then
    r._m:_quietly(reroute.put, r._m, h, r._config.model.config, router,
      shape_at(r._config, image.journal))
    other = true
  end
  local cfg = r._m.cfg
  for name in pairs(PLAN) do
    if h:get(name) ~= image.hyper[name] then
      h:apply{kind = "set", key = name, value = image.hyper[name]}
      other = true
    end
  end
  local shape = shape_at(r._config, image.journal)
  for _, name in ipairs(live.names) do
    if not live.same(name, cfg[name], shape[name]) then
      cfg[name] = shape[name]
      other = true
    end
  end
  local rules = rules_at(r._config, image.journal, path)
  if other or r._m._rules or rules then
    r._m._rules = rules
    Run._replan(r)
  end
end

-- Values of nn.input as the programs have them, for those of the model.
local function read_inputs(r)
  r._m:_quietly(function()
    for name, t in pairs(r._m.inputs) do
      local now = r._h:input(name)
      if now then engine.copy(t, now) end
    end
  end)
end

local function load(r, path, image, force)
  reshape(r, path, image, force)
  local ok, why, code = r._h:load(path, force)
  if ok then read_inputs(r) end
  if code == "STATE" then
    why = why .. definition.changed(r._config.defined, r._m._definitions)
  end
  return ok, why, code
end

local function must_load(r, path, image, force)
  local ok, why = load(r, path, image, force)
  if not ok then error(why, 0) end
end

--- A checkpoint; nil if it is damaged, and true behind it if it is gone.  Raises for one that is
-- whole and cannot be read: a newer program made it, and to pass it over would lose what it has.
local function read_whole(c)
  local image, why, code = engine.read_checkpoint(c.path)
  if not image and c.ok and code == "UNSUPPORTED" then
    error(("step %d: %s"):format(c.step, why), 0)
  end
  return image, code == "NOTFOUND"
end

--- The newest checkpoint of a run's directory that is whole, at most of this step, and holds no
-- entry of the journal that took effect after it: path, image; nil: there is none.  Raises for what
-- is another run's, or a newer program's.
local function base(path, config, step)
  local list = {}
  for _, dir in ipairs {path .. "/start", path} do
    for _, c in ipairs(engine.checkpoints(dir) or {}) do
      if not step or c.step <= step then list[#list + 1] = c end
    end
  end
  table.sort(list, function(a, b) return a.step < b.step end)
  for i = #list, 1, -1 do
    if list[i].ok then directory.check_id(list[i], config) end
    local image = read_whole(list[i])
    local fits = image and image.step == list[i].step
    for _, e in ipairs(fits and step and image.journal or {}) do
      if e.step >= step and has_effect(e) then fits = false end
    end
    if fits then return list[i].path, image end
  end
end

--- Steps to come follow the current rules (include/switchyard/hyper.h); those that were done keep
-- the rules by which they were done.
local function renew(r)
  local h = r._h
  if h:rules() >= engine.rules then return end
  local text = (
    "what comes is by the rules of this program (%d), what was before by those of then (%d)")
    :format(engine.rules, h:rules())
  h:apply{kind = "rules", value = engine.rules, text = text}
  engine.event(r.name, "rules", text)
end

-- ---- making runs again ----

local function check_start(what, r)
  if r._h:hash() ~= r._config.initial then
    error(("%s: run '%s' did not begin with what the seed gives, and %s/start is gone: there is "
      .. "no state to begin with")
      :format(what, r._config_name or r.name, r._path or "its directory"), 0)
  end
end

local function read_options(config, name, more)
  local o = {}
  for k, v in pairs(config.train) do o[k] = v end
  o.name, o.paused = name, true
  for k, v in pairs(more or {}) do o[k] = v end
  -- the default of then
  if (config.rules or 1) < 2 and o.sampling ~= "sequential" then
    o.skip_sigma = o.skip_sigma or 6
  end
  return o
end

-- A run of the configuration at step 0, paused and not among runs().
local function make(what, path, config, name, given)
  local m = directory.model(what, path, config, given.code)
  local d = given.data or directory.data(what, path, config)
  local o = train.read_options(m, read_options(config, name))
  o.teacher = teacher.stored(what, path, config)
  if (config.rules or 1) > engine.rules then
    error(("%s: run '%s' was made by rules %d, this program knows 1 to %d"):format(what, name,
      config.rules, engine.rules), 0)
  end
  -- what the trainer decided by then; its journal may say otherwise later
  o.rules = config.rules or 1
  o.by_step = not config.order -- it began before windows were counted
  local r = Run._make(m, d, o)
  rawset(r, "_config", config)
  rawset(r, "_path", path)
  r._h:pause()
  return r
end

local function open(what, name_or_dir, write)
  local folder, name = directory.locate(what, name_or_dir)
  local store, why = engine.store_open(name, {dir = folder, write = write})
  if not store then error(what .. ": " .. why, 0) end
  return store, name
end

-- f(...); if it raises, undo() in full and raise again.
local function guarded(undo, f, ...)
  local results = table.pack(pcall(f, ...))
  if not results[1] then
    engine.shield(undo)
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

-- f(...) with r for us alone, against other jobs and what is typed meanwhile.
local function alone(r, doing, f, ...)
  rawset(r, "_busy", doing)
  local done <close> = setmetatable({}, {__close = function() rawset(r, "_busy", nil) end})
  return f(...)
end

local function drop_undo(path)
  local ok, why = engine.discard_checkpoints(path, -1, "undo")
  if not ok then error("the current state cannot be kept: " .. why, 0) end
  os.remove(path .. "/undo")
end

return {
  has_effect = has_effect, all_entries = all_entries, drop_undo = drop_undo,
  stored_journal = stored_journal, behind = behind, before = before, apply = apply,
  progress = progress, walk = walk, go_through = go_through,
  read_whole = read_whole, base = base, shape_at = shape_at, rules_at = rules_at, reshape = reshape,
  read_inputs = read_inputs, load = load,
  must_load = must_load, renew = renew, wait_still = wait_still,
  check_start = check_start, make = make, open = open, guarded = guarded, alone = alone,
}
