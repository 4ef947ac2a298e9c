-- Runs as a list: those of this session and those on disk.  runs(), runs "name"; and the read-only
-- view of a stored run, which has the fields and series of a live one.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local options = require "switchyard.core.options"
local lazy = require "switchyard.core.lazy"
local ablation = lazy "switchyard.lab.ablation"
local card = lazy "switchyard.prompt.card"
local health = lazy "switchyard.lab.health"
local directory = lazy "switchyard.run.directory"
local live = require "switchyard.model.live"
local reroute = lazy "switchyard.run.reroute"
local reconstruct = require "switchyard.run.reconstruct"
local series = require "switchyard.run.series"
local Run = require("switchyard.run.run").Run
local stored = {}

-- ---- a stored run ----

local Stored, methods = {}, {}
local FIELDS = {}
for name in (
  "name state step steps tokens loss val_loss dir parent parent_step created updated bytes pid "
  .. "live config samples model"):gmatch "%S+" do FIELDS[name] = true end

--- s:history(name) -> tensor (n,2) or (n,1+E), as of a live run
function methods:history(name)
  return series.history(self._store, name)
end

function methods:series() return series.names(self._store) end

--- s:journal() -> entries on the timeline; s:events() -> alarms, checkpoints, resumes
function methods:journal() return card.journal(reconstruct.all_entries(self._store)) end
function methods:events() return card.events((self._store:entries "events")) end

--- s:health() -> a table for each mixture, as of a live run
function methods:health() return health.of(self._store, self.config.layers) end

function methods:close() self._store:close() end

--- s:ablate{batches=} -> loss without each expert, as of a live run
function methods:ablate(given) return options.call(ablation.of, self, given) end

function Stored.__index(s, name)
  if name == "_store" then
    local store, why = engine.store_open(rawget(s, "_name"))
    if not store then error(why, 0) end
    rawset(s, "_store", store)
    return store
  end
  if methods[name] then return methods[name] end
  if type(name) ~= "string" or name:sub(1, 1) == "_" then return nil end
  if name == "samples" then return (s._store:entries "samples") end
  if name == "dir" then return s._store:path() end
  if name == "model" then
    if not rawget(s, "_model") then rawset(s, "_model", (stored.model("runs", s._store:path()))) end
    return rawget(s, "_model")
  end
  local info = assert(s._store:info())
  if name == "config" then return (engine.json(info.config or "{}")) end
  if FIELDS[name] then
    local v = info[name]
    if type(v) == "number" and v ~= v then return nil end
    return v
  end
  if Run.methods[name] or Run.knows(name) then
    error(("run: %s is of live runs: %q is stored; train.resume %q makes it live%s"):format(name,
      info.name, info.name,
      Run.methods[name] and "" or ", s.config has what it was started with"), 2)
  end
  local names = {}
  for k in pairs(FIELDS) do names[#names + 1] = k end
  for k in pairs(methods) do names[#names + 1] = k end
  table.sort(names)
  local _, why = pcall(options.unknown, "run", "field", name, names)
  error(why, 2)
end

function Stored.__newindex(_, name)
  error(("run: %s cannot be set: the run is stored; train.resume makes it live")
    :format(tostring(name)), 2)
end

-- "run first: done, step 2000/2000, loss 2.913 ..." of what store:info() gives.
local function line(name, s)
  if s.error then return ("run %s: %s"):format(name, engine.clean(s.error)) end
  local text = ("run %s: %s, step %d/%d"):format(name, s.state, s.step, s.steps)
  if s.loss and s.loss == s.loss then text = text .. (", loss %.3f"):format(s.loss) end
  if s.val_loss and s.val_loss == s.val_loss then
    text = text .. (", val %.3f"):format(s.val_loss)
  end
  if s.parent then
    text = text .. (", fork of %s at step %d"):format(engine.clean(s.parent), s.parent_step)
  end
  return text
end

function Stored.__tostring(s)
  local info = assert(s._store:info())
  local text = line(info.name, info) .. " (stored)"
  if info.step > 0 then text = text .. "\n  loss " .. engine.sparkline(s:history "loss", 60) end
  return text
end

Stored.__name = "stored run"
Stored.methods, Stored.fields = methods, FIELDS
stored.Stored = Stored

--- Steps of the checkpoints of the run at path, ascending.
function stored.steps(path)
  local list = {}
  for _, c in ipairs(engine.checkpoints(path) or {}) do
    if c.ok then list[#list + 1] = c.step end
  end
  table.sort(list)
  return list
end

local function check_step(what, name, path, image, step)
  if not step or image and image.step == step then return end
  local steps = {}
  for _, c in ipairs(engine.checkpoints(path) or {}) do steps[#steps + 1] = tostring(c.step) end
  error(("%s: run '%s' has no checkpoint of step %d; there are: %s"):format(what, name, step,
    #steps > 0 and table.concat(steps, ", ") or "none"), 0)
end

--- The model of a stored run at its newest checkpoint, or at that of a step, and the step; raises.
function stored.model(what, name, code, step)
  local folder, last = directory.locate(what, name)
  local store, why = engine.store_open(last, {dir = folder})
  if not store then error(what .. ": " .. why, 0) end
  local close <close> = setmetatable({}, {__close = function() store:close() end})
  local path = store:path()
  local config = directory.read(what, store)
  local from, image = reconstruct.base(path, config, step)
  check_step(what, last, path, image, step)
  if not from then error(("%s: run '%s' has no checkpoint yet"):format(what, last), 0) end
  local m = directory.model(what, path, config, code)
  local router, shape = reroute.at(image.journal), reconstruct.shape_at(config, image.journal)
  if router then reroute.put(m, nil, nil, router, shape) end
  for _, k in ipairs(live.names) do m.cfg[k] = shape[k] end
  m._rules = reconstruct.rules_at(config, image.journal, from)
  local list = {}
  for i, p in ipairs(m.params) do list[i] = {m._info[i].name, p} end
  local ok, state
  ok, why = engine.read_tensors(from .. "/model.safetensors", list)
  if ok then state, why = tensor.load(from .. "/state.safetensors") end
  if not ok or not state then error(what .. ": " .. why, 0) end
  for i, key in ipairs(m._state_names) do engine.copy(m.states[key], state["state." .. i]) end
  for key, t in pairs(m.inputs) do
    local v = state["eval." .. key] or state["input." .. key]
    if v then engine.copy(t, v) end
  end
  m._fresh, m._steps_done = false, image.step
  return m, image.step
end

local function open(name)
  local folder, last = directory.locate("runs", name)
  local store, why, code = engine.store_open(last, {dir = folder})
  if not store then return nil, why, code end
  return setmetatable({_store = store}, Stored)
end

-- One whose file is opened when something of it is asked for.
local function closed(name)
  return setmetatable({_name = name}, Stored)
end

-- ---- all runs ----

local function on_disk()
  local list = {}
  for _, info in ipairs(engine.store_runs() or {}) do
    if not Run._live(info.name) then list[#list + 1] = info end
  end
  return list
end

local function all_names()
  local names = {}
  for i, r in ipairs(Run.list) do names[i] = r.name end
  for _, info in ipairs(on_disk()) do names[#names + 1] = info.name end
  return names
end

-- A line of runs(): of what store:info() gives, or of a live run's status.  differs: see
-- engine.differ.
local function listed(name, s, bytes, spark, differs)
  name = engine.clean(name)
  if s.error and s.state ~= enum.state.FAILED then
    return ("%-16s %-8s %s"):format(name, s.state, engine.clean(s.error))
  end
  local row = engine.runs_row(name, s.state, s.step, s.steps, s.loss, s.val_loss, bytes, spark)
  if s.parent then
    row = row .. ("  fork of %s at step %d"):format(engine.clean(s.parent), s.parent_step)
  end
  if differs ~= "" then row = row .. "  " .. engine.clean(differs) end
  return (row:gsub("%s+$", ""))
end

local function listed_live(r, differs)
  local info = r._store and r._store:info() or {}
  local s = r._h:status()
  s.parent, s.parent_step = info.parent, info.parent_step
  return listed(r.name, s, info.bytes, s.step > 0 and engine.sparkline(r._h:history "loss") or "",
    differs)
end

local function listed_stored(info, differs)
  local pairs_of = {}
  for i, v in ipairs(info.spark) do pairs_of[i] = {i, v} end
  return listed(info.name, info, info.bytes,
    #pairs_of > 0 and engine.sparkline(tensor(pairs_of)) or "", differs)
end

local HEAD = engine.runs_head()

local function all_runs()
  local list, lines, configs, stored_ones = {}, {HEAD}, {}, on_disk()
  for i, r in ipairs(Run.list) do list[i], configs[i] = r, directory.config_text(r) end
  for _, info in ipairs(stored_ones) do
    list[#list + 1], configs[#configs + 1] = closed(info.name), info.config or "{}"
  end
  local _, differs = engine.differ(configs)
  for i, r in ipairs(Run.list) do lines[i + 1] = listed_live(r, differs[i]) end
  for i, info in ipairs(stored_ones) do
    lines[#lines + 1] = listed_stored(info, differs[#Run.list + i])
  end
  return setmetatable(list, {
    __tostring = function() return #lines > 1 and table.concat(lines, "\n") or "no runs yet" end,
    cut = true,
  })
end

local function is_in(list, name)
  for _, one in ipairs(list) do if one == name then return true end end
  return false
end

--- runs() -> live runs, then those on disk, printed by columns (the prompt cuts long lines);
-- runs "name" -> one of them
function stored.runs(name)
  if name == nil then return all_runs() end
  local live = type(name) == "string" and Run._live(name)
  if live then return live end
  local s, why, code
  if type(name) == "string" and (name:find "/" or engine.store_name_ok(name)) then
    s, why, code = open(name)
  end
  if s then return s end
  local names = all_names()
  if why and (code ~= "NOTFOUND" or is_in(names, name)) then error(why, 2) end
  local _, unknown = pcall(options.unknown, "runs", "run", name, names)
  options.raise(unknown, 2)
end

return stored
