-- :commands of the prompt.  One table: what is typed behind the colon, the help, and the Lua
-- function of the same name that does it.  Completion, :help, ?name and the manual are made from
-- it.
--
-- A row is {name, args, call, help, f, read = text -> arguments of f, or nil and what is wrong,
-- example, quiet, screen}.

local engine = require "switchyard.engine"
local hooks = require "switchyard.run.hooks"
local lazy = require "switchyard.core.lazy"
local acting = lazy "switchyard.lab.alarms"
local words = require "switchyard.core.words"
local run = require "switchyard.run.run"

local commands = {}
local rows, by_name = {}, {}

-- ---- arguments ----

local function trim(s) return s:match "^%s*(.-)%s*$" end

-- The run that is meant: the one given, by name or itself, else the newest that goes on, else the
-- newest.
local function a_run(what, r)
  if type(r) == "string" then
    local ok, found = pcall(runs, r)
    if not ok then
      engine.error(what .. ": " .. tostring(found):gsub("^[^\n]-:%d+: ", ""):gsub("^runs: ", ""))
    end
    if getmetatable(found) ~= run.Run then
      engine.error(('%s: run %q is stored; train.resume %q makes it live'):format(what, r, r))
    end
    r = found
  end
  if r ~= nil then
    if getmetatable(r) ~= run.Run then
      engine.error(what .. ": takes a live run or its name, got " .. type(r))
    end
    return r
  end
  local list = run.Run.list
  for i = #list, 1, -1 do
    if engine.is_owned(list[i].state) then return list[i] end
  end
  if #list == 0 then engine.error(what .. ": there is no run yet") end
  return list[#list]
end

commands.a_run = a_run -- for those who take a run by its name elsewhere

local function whole(text) return math.tointeger(tonumber(text)) end

local function one_name(text)
  if text == "" then return {} end
  return {text}
end

-- Words in any order: a whole number and a name.
local function number_and_name(text)
  local number, name
  for word in text:gmatch "%S+" do
    if whole(word) and not number then number = whole(word)
    elseif not name then name = word
    else return nil, "too many words" end
  end
  return {number, name, n = 2}
end

-- ---- jobs ----

local jobs_meta = {__tostring = function(list)
  local lines = {}
  for i, j in ipairs(list) do
    lines[i] = ("job %d  %-8s %8s  %-10s  %s"):format(j.number, j.state,
      ("%.0f s"):format(j.seconds), j.waits or "", j.text)
  end
  return #lines > 0 and table.concat(lines, "\n") or "no jobs"
end}

local function list_jobs() return setmetatable(engine.jobs(), jobs_meta) end

local function kill(n)
  local list = engine.jobs()
  if n == nil and #list == 1 then n = list[1].number end
  if not math.tointeger(n) then
    engine.error(#list == 0 and "kill: there are no jobs" or
      "kill: takes the number of a job; jobs() lists them")
  end
  if not engine.kill(n) then
    engine.error(("kill: there is no job %d; jobs() lists them"):format(n))
  end
end

-- ---- runs ----

local function pause(r) return a_run("pause", r):pause() end
local function resume(r) return a_run("resume", r):resume() end
local function stop(r) return a_run("stop", r):stop() end
local function tree(x)
  if x ~= nil then engine.error "tree: takes no argument; it draws all runs" end
  local text, why = engine.runs_tree()
  if not text then engine.error("tree: " .. why) end
  return setmetatable({}, {cut = true, __tostring = function()
    return text ~= "" and text:sub(1, -2) or "no runs yet"
  end})
end

local function list_hooks(r) return hooks.list(a_run("hooks", r)) end
local function list_alarms(r) return acting.list(a_run("alarms", r)) end
local function mark(text, r)
  return a_run("mark", r):note(text == nil and "mark" or tostring(text))
end

local function method(what, r)
  local ok, f = pcall(function() return r[what] end)
  if not ok then engine.error(what .. ": runs cannot do this in this build") end
  return f
end

local function rewind(step, r)
  if not math.tointeger(step) then
    engine.error("rewind: takes the step to go back to, got " .. tostring(step))
  end
  r = a_run("rewind", r)
  return method("rewind", r)(r, step)
end

local function fork(o, r)
  r = a_run("fork", r)
  if o ~= nil and type(o) ~= "table" then engine.error "fork: takes {step=, name=}" end
  return method("fork", r)(r, o or {})
end

-- ---- alerts: alarms (lua/lab/alarms.lua) that ring: a condition over a run's fields ----

-- Steps at which a condition must not hold before it rings again: a loss jumps about its trend.
local CALM = 100

-- Fields of the run first, then globals; a number that is not there yet is NaN, of which every
-- comparison is false.
local function meaning(name, r)
  local ok, v = pcall(function() return r[name] end)
  if ok then return v == nil and 0 / 0 or v end
  local of_users = rawget(_G, name)
  if of_users == nil then error((tostring(v):gsub("^.-:%d+: ", "")), 0) end
  return of_users
end

-- Names that a condition means: also those that and/or do not come to now.  Not fields behind a
-- point, nor names of its own.
local function names_of(text)
  local names, own = {}, {}
  text = text:gsub("%[(=*)%[.-%]%1%]", "''"):gsub("\\.", ""):gsub("(['\"]).-%1",
    "''"):gsub("%-%-[^\n]*", "")
  for list in text:gmatch "function%s*%(([^)]*)%)" do
    for name in list:gmatch "[%a_][%w_]*" do own[name] = true end
  end
  for list in text:gmatch "%f[%w_]local%s+([%w_%s,]*)" do
    for name in list:gmatch "[%a_][%w_]*" do own[name] = true end
  end
  for name in text:gmatch "[{,]%s*([%a_][%w_]*)%s*=[^=]" do own[name] = true end
  text = text:gsub("%.%.", " , "):gsub("[.:]%s*[%a_][%w_]*", "")
  for name in text:gmatch "%f[%w_]([%a_][%w_]*)" do
    if not words.is_lua(name) and not own[name] then names[#names + 1] = name end
  end
  return names
end

local function condition(what, text, r)
  local function look(_, name) return meaning(name, r) end
  local f, why = load("return " .. text, "=alert", "t", setmetatable({}, {__index = look}))
  if not f then engine.error(what .. ": " .. why:gsub("^alert:%d+: ", "")) end
  for _, name in ipairs(names_of(text)) do
    local ok, unknown = pcall(meaning, name, r)
    if not ok then engine.error(what .. ": " .. unknown) end
  end
  return f
end

-- Those that alert made, of a run.
local function alerts(r)
  local list = {}
  for _, a in ipairs(acting.list(r)) do
    if a._alert then list[#list + 1] = a end
  end
  return list
end

local function alert(text, r)
  r = a_run("alert", r)
  if text == nil then
    local lines = {}
    for i, a in ipairs(alerts(r)) do lines[i] = a.name end
    return #lines > 0 and table.concat(lines, "\n") or "no alerts"
  end
  if text == false or text == "off" then
    for _, a in ipairs(alerts(r)) do a:remove() end
    return
  end
  local test = type(text) == "function" and text or condition("alert", text, r)
  local ok, value = pcall(test, r)
  if not ok then engine.error("alert: " .. tostring(value)) end
  local function when(run)
    return test(run) and ("loss %.4g"):format(run.loss or 0 / 0)
  end
  acting.alarm(r, {when = when, run = "bell", again = CALM,
    name = type(text) == "string" and trim(text) or nil}, "alert")
end

-- ---- what there is ----

local builtin -- globals that were there at the start

local function who()
  local show = require "switchyard.prompt.show"
  local list = {}
  for name, v in pairs(_G) do
    if type(name) == "string" and name ~= "_" and not builtin[name] then
      list[#list + 1] = {name = name, value = v}
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return setmetatable(list, {__tostring = function()
    local lines = {}
    for i, e in ipairs(list) do lines[i] = ("%-12s %s"):format(e.name, show.brief(e.value)) end
    return #lines > 0 and table.concat(lines, "\n") or "nothing is defined yet"
  end})
end

-- ---- the screen ----

local function screen(name, text)
  local done, reply = engine.screen(name, text)
  if done == nil then
    engine.error(("%s: needs the workbench (start switchyard on a terminal)"):format(name))
  end
  if not done then
    engine.error(reply ~= "" and reply or ("%s: the screen does not know it"):format(name))
  end
  return reply ~= "" and reply or nil
end

local function on_screen(name)
  return function(...)
    local words = {}
    for i = 1, select("#", ...) do
      local v = select(i, ...)
      local of = type(v) == "table" and getmetatable(v)
      words[i] = of and (of.__name == "run" or of.__name == "stored run") and v.name or tostring(v)
    end
    return screen(name, table.concat(words, " "))
  end
end

-- ---- the table ----

local function row(name, args, call, help, f, more)
  local r = {name = name, args = args, call = call, help = help, f = f,
             read = function(text) return {text} end}
  for k, v in pairs(more or {}) do r[k] = v end
  rows[#rows + 1] = r
  by_name[name] = r
end

local function number(text)
  if text == "" then return {} end
  if not whole(text) then return nil, "takes a number" end
  return {whole(text)}
end

local function step_first(text)
  local words, why = number_and_name(text)
  if not words then return nil, why end
  if not words[1] then
    return nil, "takes the step to go back to" .. (words[2] and ", got '" .. words[2] .. "'" or "")
  end
  return {words[1], words[2], n = 2}
end

local function fork_arguments(text)
  local words, why = number_and_name(text)
  if not words then return nil, why end
  return {{step = words[1], name = words[2]}}
end

local function alert_arguments(text)
  if text == "" then return {} end
  return {text}
end

row("jobs", "", "jobs()", "What goes on beside the prompt: code that waits for a run (r:wait(), "
  .. "r:eval()) or sleeps. A line that has to wait for long becomes a job; what it prints stands "
  .. "behind its number.", list_jobs, {read = one_name, example = "jobs()"})
row("kill", "N", "kill(n)",
  "End job N, as Ctrl-C twice ends the newest one. Runs are not touched. Errors: there is no "
  .. "such job.", kill, {read = number})
row("pause", "[RUN]", "pause(r)", "Pause a run after its step: the newest live one, or the named.",
  pause,
  {read = one_name, quiet = true, example = "pause(r)"})
row("resume", "[RUN]", "resume(r)", "Go on with a run.", resume,
  {read = one_name, quiet = true, example = "resume(r)"})
row("stop", "[RUN]", "stop(r)", "Stop a run for good, saved when it has a directory.", stop,
  {read = one_name, quiet = true, example = "stop(r)"})
row("who", "", "who()", "The variables that were defined here: name, and what they hold.", who,
  {read = one_name, example = "who()"})
row("watch", "[RUN]", "watch(name)",
  "Show a run on the panel: of this session, or a stored one by name.", on_screen "watch",
  {screen = true})
row("alert", "CONDITION", "alert(condition, r)", "Print a line and ring when the condition over "
  .. "the fields of the newest run (loss, val_loss, grad_norm, tok_s, load_max_mean, dead ...) "
  .. "becomes true, looked at after each step; again when it has not been so for 100 steps. "
  .. "Without one: those that are set; off: none. alert(condition, r) is for another run; the "
  .. "condition may be a function of the run. It is an alarm(r, {when=, run = \"bell\"}): ?alarm "
  .. "has what else may be done. Errors: an unknown field, wherever it stands.", alert,
  {read = alert_arguments, example = 'alert("loss > 4 or dead > 3", r)'})
row("hooks", "[RUN]", "hooks(r)",
  "The functions that every(r, n, f) calls between steps, by number: hooks(r)[1]:remove() takes "
  .. "the first away.",
  list_hooks, {read = one_name, example = "hooks(r)"})
row("alarms", "[RUN]", "alarms(r)",
  "The alarms that act on a run (alarm(r, {when=, run=})), by number, and when each last did: "
  .. "alarms(r)[1]:remove() takes the first away. r:alarms() has all that are told.",
  list_alarms, {read = one_name, example = "alarms(r)"})
row("mark", "[TEXT]", "mark(text, r)",
  "Put a mark with a text on the charts and into the journal of the newest live run.", mark,
  {read = one_name, quiet = true, example = 'mark("warm", r)'})
row("rewind", "STEP [RUN]", "rewind(step, r)",
  "Take a run back to exactly the state after that step, paused: r:rewind(step).", rewind,
  {read = step_first})
row("fork", "[STEP] [NAME]", "fork({step=, name=}, r)",
  "A new run from a step of the newest live run, which goes on: r:fork{step=, name=}.", fork,
  {read = fork_arguments})
row("tree", "", "tree()", "The runs on disk and their forks as a tree: state, step, validation "
  .. "loss, of a fork the step at which it left its parent, and below each what was done to it (of "
  .. "more than four the first two and the last). A live run is seen as of its last second. The "
  .. "same is `switchyard runs --tree`. Errors: the folder of runs cannot be read.", tree,
  {read = one_name, example = "tree()"})
row("overlay", "[RUN ...]", "overlay(r, ...)",
  "Draw the curves of other runs, live or stored, over this one's; without names only one is "
    .. "drawn.",
  on_screen "overlay",
  {screen = true})
row("dump", "FILE", "dump(path)", "Write the screen to a file: text, ANSI (.ans) or SVG (.svg).",
  on_screen "dump", {screen = true})
row("theme", "[NAME]", "theme(name)", "Colours of the panel: auto, dark, light ... (:theme lists "
  .. "them); auto is light where COLORFGBG says that the terminal is.",
  on_screen "theme", {screen = true})
row("filter", "[TEXT]", "filter(text)",
  "Charts of all series whose names have the text in them, in place of the panels; without one "
  .. "the panels.",
  on_screen "filter", {screen = true})
row("losses", "NAME", "losses(name)",
  "Curves beside the loss: objectives, sources (parts of a mix, languages of pairs), or all for "
  .. "one curve; the key a goes through them. Errors: the run has one only.",
  on_screen "losses", {screen = true})
row("heat", "NAME", "heat(name)",
  "What the table of experts shows: load, gate (probabilities), drops, change, or sources, where "
  .. "the tokens of each source of the data go; the key e goes through them.",
  on_screen "heat", {screen = true})
row("split", "SHARE", "split(share)", "The panels' share of the height, 0.1 to 0.9; 0: as it was.",
  on_screen "split", {screen = true})
row("highlight", "on|off", "highlight(on)", "Colours of Lua in the line that is typed.",
  on_screen "highlight", {screen = true})
row("mouse", "on|off", "mouse(on)",
  "The wheel scrolls and a click chooses a panel; the terminal's own selection then takes Shift.",
  on_screen "mouse", {screen = true})
row("plain", "", "plain()", "Between the panel and plain text (to copy from, for screen readers).",
  on_screen "plain", {screen = true})

--- The rows, in order, for completion, help and tests.
function commands.rows() return rows end

local function help_text()
  local lines = {}
  for i, r in ipairs(rows) do
    lines[i] = ("  %-22s %s"):format(":" .. r.name .. (r.args ~= "" and " " .. r.args or ""),
      r.help:match "^(.-[^%d%s])[.:;]%f[%s\0]")
  end
  return table.concat(lines, "\n")
    .. "\n  :help [NAME]           this list, or help on a name\n  :q                     leave"
end

local extra = {
  help = function(text)
    if text == "" then print(help_text()) else help.print((text:gsub("^:", ""))) end
  end,
  q = function() quit() end,
}

-- A row by name, or by the beginning of one name only.
local function find(name)
  if by_name[name] then return by_name[name] end
  local found
  for _, r in ipairs(rows) do
    if name ~= "" and r.name:sub(1, #name) == name then
      if found then return nil end
      found = r
    end
  end
  return found
end

local function names()
  local list = {"help", "q"}
  for _, r in ipairs(rows) do list[#list + 1] = r.name end
  return list
end

local function unknown(name, text)
  local done, reply = engine.screen(name, text) -- the screen may know more
  if done then return reply ~= "" and reply or nil end
  if done == false and reply ~= "" then engine.error(reply) end
  local near = engine.nearest(name, names())
  engine.error(("unknown command ':%s'%s"):format(name,
    near and (" (did you mean ':%s'?)"):format(near) or "; :help lists them"))
end

--- What the prompt does with a line behind ':'; its values are printed.
function commands.run(line)
  local name, text = line:match "^%s*([%w_]*)%s*(.-)%s*$"
  if name ~= "" and not by_name[name] and ("help"):sub(1, #name) == name then name = "help" end
  if extra[name] then return extra[name](text) end
  if name == "" then
    if text == "" then return extra.help "" end
    return unknown(text, "")
  end
  local r = find(name)
  if not r then return unknown(name, text) end
  if r.screen then return screen(r.name, text) end
  local args, why = r.read(text)
  if not args then engine.error((":%s: %s (:%s %s)"):format(r.name, why, r.name, r.args)) end
  if r.quiet then r.f(table.unpack(args, 1, args.n or #args)) return end
  return r.f(table.unpack(args, 1, args.n or #args))
end

--- Entries for help.lua.
function commands.docs()
  local list = {}
  for i, r in ipairs(rows) do
    local typed = ":" .. r.name .. (r.args ~= "" and " " .. r.args or "")
    list[i] = {name = r.name, signature = typed .. "    " .. r.call, text = r.help,
               example = r.example}
  end
  return list
end

--- Make the globals; at the end of the prelude.
function commands.open()
  for _, r in ipairs(rows) do _G[r.name] = r.f end
  builtin = {}
  for name in pairs(_G) do builtin[name] = true end
  builtin.arg = true
end

return commands
