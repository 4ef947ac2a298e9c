-- One run of a bake-off: an entrant with a seed, from its beginning, from where it was, or over.
--
--  1. What a run has learned, its store says: a run that is over is not touched again.
--  2. A run that was killed goes on from a checkpoint up to which its store has rows: what the
--     store had not written yet is done again, so that the tables have every step.
--  3. A budget of seconds is the run's own: data, computing and optimizer of its steps, without
--     evaluations and checkpoints.  Its steps are aimed at anew at every tenth of it, and where
--     they would end before it does, in its journal: the rate falls to its end where the time ends.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local hooks = require "switchyard.run.hooks"
local json = require "switchyard.core.json"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local reconstruct = lazy "switchyard.run.reconstruct"
local resume = lazy "switchyard.run.resume"
local spec = require "switchyard.lab.bakeoff_spec"
local start = require "switchyard.run.train"
local Run = require("switchyard.run.run").Run
local run = {}

local TIMED = 3 -- steps; the first is not counted
local TIMES = {"time.data", "time.compute", "time.optimizer"}

local function fail(...) error("bakeoff: " .. string.format(...), 0) end

function run.name(e, seed) return ("%s-%d"):format(e.label, seed) end

local function options_of(s, e, seed)
  local o = {steps = e.steps, seed = seed, name = run.name(e, seed),
             eval_every = math.max(1, e.steps // s.points), eval_batches = s.eval_batches,
             checkpoint_every = math.max(50, e.steps // 4)}
  for k, v in pairs(s.train) do o[k] = v end
  return o
end

-- ---- how long it will take ----

--- Seconds of a step and of an evaluation of an entrant, measured on a run that nobody sees.
function run.measure(s, e)
  local m = spec.model(e, 1)
  local o = {steps = TIMED, eval_every = 0, save = false, name = "timing"}
  for k, v in pairs(s.train) do o[k] = v end
  o = start.read_options(m, o)
  o.rules = engine.rules
  local r = Run._make(m, s.data, o)
  local ended <close> = setmetatable({},
    {__close = function() engine.shield(function() r._h:close() end) end})
  r._h:pause()
  r._h:repeating(true) -- nothing is said of it
  r._h:start(true)
  local seconds = 0
  for i = 1, TIMED do
    r._h:steps(1)
    r._h:wait(nil, ("'%s' is timed"):format(e.label))
    if i > 1 then
      for _, name in ipairs(TIMES) do seconds = seconds + r._h:last(name)[1] end
    end
  end
  local began = engine.now()
  pcall(function() r._h:eval(s.eval_batches) end) -- there may be no validation part
  return seconds / (TIMED - 1), engine.now() - began
end

-- ---- a budget of seconds ----

-- Seconds of its own that a run has behind it.
local function used_by(history)
  local sum = 0
  for _, name in ipairs(TIMES) do
    local h = history(name)
    if h.shape[1] > 0 then sum = sum + h:narrow(2, 2, 1):sum():item() end
  end
  return sum
end
run.used_by = used_by

-- r.steps follows the clock: it ends at the border that is nearest to the budget, by what a step
-- takes (its mean or the last one's, so that one that was held up ends nothing).  The last step is
-- evaluated, as of every run.
local function keep_time(r, seconds)
  local h, told, ends = r._h, nil, false
  local used = used_by(function(name) return h:history(name) end)
  hooks.add(r, 1, function()
    local last = 0
    for _, name in ipairs(TIMES) do last = last + h:last(name)[1] end
    used = used + last
    local step = h:status().step
    local each, tenth = used / step, used * 10 // seconds
    if not ends and used + math.min(each, last) / 2 >= seconds then
      ends = true
      h:set("steps", step + 1)
    elseif not ends and (told ~= tenth or step + 1 >= h:get "steps") then
      told = tenth
      h:set("steps", math.max(step + 1, step + math.floor((seconds - used) / each)))
    end
  end, true)
end

-- ---- where it stands ----

-- The store of a run's directory; nil, why, code.
local function open(path)
  local at, name = path:match "^(.*)/([^/]+)$"
  return engine.store_open(name, {dir = at})
end

-- The last step of which the store has rows.
local function last_row(store)
  local h = store:series()["time.compute"] and store:history "time.compute"
  local n = h and h.shape[1] or 0
  return n > 0 and math.tointeger(h[n][1]:item()) or 0
end

local function is_over(info, store)
  if info.state == enum.state.FAILED then return true end
  if info.state ~= enum.state.DONE or info.step < info.steps then return false end
  return last_row(store) >= info.step
end

-- Raise unless a stored run is what the spec says.
local function check_is(path, info, e, seed, s)
  local config = engine.json(info.config or "{}")
  local model = type(config) == "table" and type(config.model) == "table" and config.model.config
  local cfg = {}
  for k, v in pairs(type(model) == "table" and model or {}) do cfg[k] = v end
  local its = cfg.seed
  cfg.seed, cfg.vocab_tokenizer = nil, nil
  local same = its == seed and info.data == s.data.hash and json.text(cfg) == json.text(e.cfg)
  if not same then
    fail("%s is no run of this bake-off: its model or its data is another: move it away",
      engine.clean(path))
  end
end

--- "over", "begun", or nil: there is none.  Raises where it is another's.
function run.state(s, e, seed, at)
  local path = at .. "/" .. run.name(e, seed)
  if not directory.taken(run.name(e, seed), at) then return nil end
  local store, why = open(path)
  if not store then fail("%s", engine.clean(why)) end
  local close <close> = setmetatable({}, {__close = function() store:close() end})
  local info = assert(store:info())
  check_is(path, info, e, seed, s)
  if info.live and not Run._live(info.name) then
    fail("%s is being written by process %d", engine.clean(path), info.pid)
  end
  return is_over(info, store) and "over" or "begun"
end

-- ---- doing it ----

-- Checkpoints that are ahead of the rows of the store go.
local function drop_ahead(path)
  local store = assert(open(path))
  local last = last_row(store)
  store:close()
  local ahead = false
  for _, c in ipairs(engine.checkpoints(path) or {}) do ahead = ahead or c.step > last end
  if not ahead then return end
  local ok, why = engine.discard_checkpoints(path, last)
  if not ok then fail("%s", engine.clean(why)) end
end

local function take_up(s, path)
  local live = Run._live(path:match "[^/]+$")
  if live then
    if live.dir ~= path then
      fail("a run called '%s' is open in this session: r:close() it first", live.name)
    end
    return live:resume()
  end
  drop_ahead(path)
  return resume.resume(path, {data = s.data, paused = true})
end

local function begin(s, e, seed, at)
  local name = run.name(e, seed)
  if Run._live(name) then
    fail("a run called '%s' is open in this session: r:close() it first", name)
  end
  local o = options_of(s, e, seed)
  o.paused = true
  local ok, r = pcall(start.train_in, at, spec.model(e, seed), s.data, o)
  if not ok then fail("entrant '%s': %s", e.label, (tostring(r):gsub("^[^\n]-:%d+: ", ""))) end
  return r
end

-- Until it has ended: who pauses it by hand may go on with it.
local function wait(r)
  repeat
    r:wait()
    local state = r.state
    if state == enum.state.PAUSED then sleep(0.2) end
  until state ~= enum.state.PAUSED and state ~= enum.state.RUNNING
  if r.state == enum.state.STOPPED then
    fail("run '%s' was stopped at step %d; the same call goes on from there", r.name, r.step)
  end
end

--- Train to the end.  began(r) is called before its first step; what ends this call pauses the run.
function run.train(s, e, seed, at, began)
  local path = at .. "/" .. run.name(e, seed)
  local r = run.state(s, e, seed, at) == "begun" and take_up(s, path) or begin(s, e, seed, at)
  local over = false
  local left <close> = setmetatable({}, {__close = function()
    if not over then engine.shield(function() r._h:pause() end) end
  end})
  if s.budget.kind == "seconds" and not rawget(r, "_timed") then
    rawset(r, "_timed", true)
    keep_time(r, s.budget.amount)
  end
  began(r)
  r:resume()
  wait(r)
  over = true
  r:close()
end

--- What was changed by hand: texts of entries of the journal that are not of the bake-off itself.
function run.changes(s, store)
  local list = {}
  for _, j in ipairs(reconstruct.all_entries(store)) do
    local own = s.budget.kind == "seconds" and j.kind == enum.entry.SET and j.key == "steps"
    if reconstruct.has_effect(j) and not own then
      list[#list + 1] = ("step %d: %s"):format(j.step, engine.clean(j.text or j.kind))
    end
  end
  return list
end

return run
