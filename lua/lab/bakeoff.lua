-- bakeoff{routers=, data=, model=, budget=, seeds=, name=} -> b: routers under an equal budget,
-- with what they are to be compared with.  bakeoff_spec.lua has what is compared,
-- bakeoff_folder.lua where, bakeoff_run.lua one run, bakeoff_results.lua and bakeoff_text.lua what
-- it came to.
--
--     read spec --> folder of the same spec?  --> plan --> each seed: each entrant's run --> b
--                   another's: refused             |
--                                                  every step is timed before anything begins
--
--  1. One run at a time has the machine's cores: seconds are comparable.
--  2. The call lasts as long as the runs do; at the prompt it is a job.  What ends it (Ctrl-C, an
--     error, :kill) pauses the run that goes on, and the same call goes on where that was; so it
--     does after the process was killed.
--  3. What b shows is read from the runs' stores, so it does not matter in how many parts they were
--     made.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local fields = require "switchyard.core.fields"
local folder = require "switchyard.lab.bakeoff_folder"
local options = require "switchyard.core.options"
local results = require "switchyard.lab.bakeoff_results"
local run = require "switchyard.lab.bakeoff_run"
local show = require "switchyard.prompt.show"
local spec = require "switchyard.lab.bakeoff_spec"
local svg = require "switchyard.lab.svg"
local text = require "switchyard.lab.bakeoff_text"
local Run = require("switchyard.run.run").Run

local OVERLAID = 32 -- runs that the panel draws over each other (src/workbench/screen_commands.c)

local function fail(...) error("bakeoff: " .. string.format(...), 0) end
local function say(...) print(engine.clean(string.format(...))) end

-- ---- b ----

local methods = {}
local Class = fields.class("bake-off", methods, "name dir rows levels records", function(_, name)
  return (name == "rows" or name == "records") and "a bake-off is read from its runs" or nil
end)
Class.__tostring = function(b) return text.shown(b, engine.columns() - 1) end

--- b:table() -> rows, which print as the tables; a row has entrant, loss, deviation, best, steps,
-- seconds, ratios ...
function methods:table()
  local b, rows = self, {table.unpack(self.rows)}
  return setmetatable(rows, {__tostring = function() return tostring(b) end})
end

local WRITERS = {md = text.markdown, csv = text.csv, svg = text.svg}

-- What is asked of save: paths, and options in a table.
local function targets(...)
  local paths, o = {}, {}
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if type(v) == "table" and i == select("#", ...) then
      o = options.read("save", v, {{"log", "boolean", false}})
    elseif type(v) ~= "string" then
      fail("save takes paths that end in .md, .svg or .csv, got %s", type(v))
    else
      local ending = v:match "%.(%w+)$"
      if not WRITERS[ending] then
        fail("save: '%s' does not end in .md, .svg or .csv", engine.clean(v))
      end
      paths[#paths + 1] = {path = v, write = WRITERS[ending]}
    end
  end
  if #paths == 0 then fail "save takes paths that end in .md, .svg or .csv" end
  return paths, o
end

--- Raise unless each can be saved.
local function check_paths(paths) targets(table.unpack(paths)) end

local save

-- What save returns: called with one more path it saves that as well, so that b:save "b.md" "b.svg"
-- is two of them.
local function saved(b, names)
  return setmetatable({}, {
    __call = function(_, ...) return save(b, names, ...) end,
    __tostring = function() return "saved " .. engine.clean(table.concat(names, ", ")) end,
  })
end

function save(b, names, ...)
  local fine, paths, o = pcall(targets, ...)
  if not fine then options.raise(paths, 3) end
  local all = {table.unpack(names)}
  for _, p in ipairs(paths) do
    local ok, why, code = engine.file_write(p.path, p.write(b, o.log))
    if not ok then return nil, why, code end
    all[#all + 1] = p.path
  end
  return saved(b, all)
end

--- b:save("b.md", "b.svg", "b.csv", {log = true}): each whole or not at all
function methods:save(...) return save(self, {}, ...) end

-- The runs that are over, as a bake-off.
local function gather(s, at)
  local records = {}
  for seed = 1, s.seeds do
    for _, e in ipairs(s.entrants) do
      if e.steps and run.state(s, e, seed, at) == "over" then
        local name = run.name(e, seed)
        local store = assert(engine.store_open(name, {dir = at}))
        local close <close> = setmetatable({}, {__close = function() store:close() end})
        records[#records + 1] = results.run(s, e, seed, store)
      end
    end
  end
  local rows, levels = results.rows(s.entrants, records)
  local b = fields.object(Class, {name = s.name, dir = at, rows = rows, levels = levels,
                                  records = records})
  b._spec = s
  return b
end

-- ---- the plan ----

-- Seconds that an entrant's run is expected to take, evaluations and all.
local function expected(s, e)
  local points = e.steps // math.max(1, e.steps // s.points)
  return e.steps * (e.each or 0) + points * (e.eval or 0)
end

local function print_plan(s, at, left)
  local list, all = {}, 0
  for _, e in ipairs(s.entrants) do
    local tokens = e.steps * s.step_tokens
    list[#list + 1] = {
      entrant = e.label, params = svg.tick_text(e.total), active = svg.tick_text(e.active),
      steps = e.steps, tokens = tokens,
      FLOPs = ("%.2e"):format(tokens * e.flops),
      time = e.each and engine.duration(expected(s, e)) or "over",
    }
  end
  for _, job in ipairs(left) do all = all + expected(s, job.e) end
  local n = #s.entrants * s.seeds
  say("bake-off %s in %s: %d entrants, %d seeds: %d runs, one after another", s.name, at,
    #s.entrants, s.seeds, n)
  print(engine.clean(show.columns(list, {"entrant", "params", "active", "steps", "tokens", "FLOPs",
                                         "time"})))
  for _, e in ipairs(s.entrants) do
    if #e.left > 0 then say("%s: without %s of model", e.label, table.concat(e.left, ", ")) end
  end
  if #left == n then say("expected: %s, by a few timed steps of each", engine.duration(all))
  else say("%d runs are over; expected: %s", n - #left, engine.duration(all)) end
  for _, r in ipairs(Run.list) do
    if r.state == enum.state.RUNNING then
      say("run %s goes on beside it: seconds will not be comparable", r.name)
    end
  end
end

-- ---- doing it ----

-- The runs that are not over, in their order: {e=, seed=}.
local function jobs_left(s, at)
  local list = {}
  for seed = 1, s.seeds do
    for _, e in ipairs(s.entrants) do
      if run.state(s, e, seed, at) ~= "over" then list[#list + 1] = {e = e, seed = seed} end
    end
  end
  return list
end

-- Times of those that have something to do; of a budget of seconds, for which steps are not known
-- yet, of all.
local function measure(s, jobs)
  local wanted = {}
  for _, job in ipairs(jobs) do wanted[job.e] = true end
  for _, e in ipairs(s.entrants) do
    if wanted[e] and not e.each then e.each, e.eval = run.measure(s, e) end
  end
end

-- All curves on the panel, where there is one.
local function overlay(paths, name)
  local list = {table.unpack(paths, math.max(1, #paths - OVERLAID + 2))}
  list[#list + 1] = name
  engine.screen("overlay", table.concat(list, " "))
  engine.screen("watch", name)
end

local function remaining(s, jobs, from, scale)
  local sum = 0
  for i = from, #jobs do sum = sum + expected(s, jobs[i].e) end
  return sum * scale
end

local function do_all(s, at, jobs)
  local n, paths = #s.entrants * s.seeds, {}
  local thought, took = 0, 0
  for i, job in ipairs(jobs) do
    local name, began = run.name(job.e, job.seed), engine.now()
    local scale = thought > 0 and took / thought or 1
    run.train(s, job.e, job.seed, at, function(r)
      engine.event(s.name, "note", ("%s, %d of %d: %d steps; %s left"):format(name,
        n - #jobs + i, n, r._h:get "steps", engine.duration(remaining(s, jobs, i, scale))))
      overlay(paths, r.name)
    end)
    thought, took = thought + expected(s, job.e), took + engine.now() - began
    paths[#paths + 1] = at .. "/" .. name
  end
  engine.screen("overlay", table.concat(paths, " ", math.max(1, #paths - OVERLAID + 1)))
end

-- A folder of this spec, with its steps in the entrants.
local function prepare(s)
  local at = folder.path(s.name)
  local steps = folder.steps_of(s)
  for _, e in ipairs(s.entrants) do e.steps = steps and steps[e.label] or e.steps end
  if not steps then
    local ok, why = engine.store_name_ok(s.name, true)
    if not ok then fail("name: %s", (why:gsub("^run: ", ""))) end
    local all = {}
    for i, e in ipairs(s.entrants) do all[i] = {e = e} end
    measure(s, all)
    spec.set_steps(s)
  end
  return at, steps ~= nil
end

local function bakeoff(given)
  engine.check_alive "bakeoff"
  local s = spec.read(given)
  local at, there = prepare(s)
  local jobs = there and jobs_left(s, at)
  if there then
    measure(s, jobs)
  else
    jobs = {}
    for seed = 1, s.seeds do
      for _, e in ipairs(s.entrants) do jobs[#jobs + 1] = {e = e, seed = seed} end
    end
  end
  if #jobs > 0 then print_plan(s, at, jobs) end
  if not there then folder.make(s) end
  do_all(s, at, jobs)
  return gather(s, at)
end

--- bakeoff{routers=, data=, model=, train=, budget=, seeds=, name=, ...} -> b
local function call(given) return options.call(bakeoff, given) end

return {bakeoff = call, check_paths = check_paths, rows = spec.rows, methods = methods,
        class = Class}
