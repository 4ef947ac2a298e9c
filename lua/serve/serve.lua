-- switchyard serve: what requests mean.  One JSON object a line in, one a line out:
--
--     {"id": 1, "do": "set", "name": "lr", "value": 3e-4}  -->  {"id":1,"result":0.0003}
--                                                     or  {"id":1,"error":{"code":..,"message":..}}
--
--   1. A verb is a row of ROWS: its fields are checked as options are, and the help, the manual
--      page (by test) and the refusals follow.  What needs more than these does "eval".
--   2. Whoever asks is in the journal: "socket: NAME" by "who", else "socket".
--   3. A request is a job: a long one (rewind, eval of batches) holds up no other, so answers may
--      come in another order; "id" tells them apart.
--
-- Sockets and lines: src/serve/.

local engine = require "switchyard.engine"
local acting = require "switchyard.core.acting"
local commands = require "switchyard.prompt.commands"
local options = require "switchyard.core.options"
local run = require "switchyard.run.run"
local series = require "switchyard.run.series"
local value = require "switchyard.serve.value"
local serve = {}

local NAMES = {} -- client -> who it said it is
local ROWS, by_name = {}, {}

-- A verb: {name, rows of its fields, f(fields, client, server) -> result, or nil, message, code}.
local function verb(name, fields, help, f)
  local row = {name = name, fields = fields, help = help, f = f}
  ROWS[#ROWS + 1], by_name[name] = row, row
end

local RUN = {"run", "string", help = "its name; the newest live one"}

local function the_run(o) return commands.a_run(o["do"], o.run) end

local function needs(o, ...)
  for _, name in ipairs {...} do
    if o[name] == nil then engine.error(("%s: '%s' is missing"):format(o["do"], name)) end
  end
end

local WHO = 39 -- bytes of a client's name: with "socket: " before it those of an entry's (SY_WHO)

-- ---- the verbs ----

local function state_of(r)
  local s = r._h:status()
  s.run = r.name
  return s
end

verb("hello", {{"who", "string"}}, "who it is, for the journal; what there is",
  function(o, client)
    if o.who and #o.who > WHO then
      engine.error(("hello: who has %d bytes, at most %d are possible"):format(#o.who, WHO))
    end
    if o.who then NAMES[client] = o.who end
    local list = {}
    for i, row in ipairs(ROWS) do
      local fields = {}
      for k, f in ipairs(row.fields) do fields[k] = f[1] end
      list[i] = {name = row.name, fields = fields, help = row.help}
    end
    return {program = "switchyard", verbs = list}
  end)

verb("status", {RUN}, "state, step, losses of one run, or of all",
  function(o)
    if o.run then return state_of(the_run(o)) end
    local list = {}
    for i, r in ipairs(run.Run.list) do list[i] = state_of(r) end
    return list
  end)

verb("set", {{"name", "string"}, {"value", "any"}, RUN}, "r.NAME = value, from the next step on",
  function(o)
    needs(o, "name", "value")
    local r = the_run(o)
    if o.value == engine.null then o.value = nil end
    r[o.name] = o.value
    return r[o.name]
  end)

verb("get", {{"name", "string"}, RUN}, "r.NAME",
  function(o)
    needs(o, "name")
    return the_run(o)[o.name]
  end)

verb("history", {{"series", "string"}, {"from", "integer", 1}, {"to", "integer", math.maxinteger},
                 RUN},
  "rows of a series with from <= step <= to",
  function(o)
    needs(o, "series")
    local rows, first = {}, math.max(o.from, 0)
    local all = series.history(the_run(o)._h, o.series, first):table()
    for _, row in ipairs(all) do
      if row[1] >= o.from and row[1] <= o.to then
        row[1] = math.tointeger(row[1]) or row[1]
        rows[#rows + 1] = row
      end
    end
    return {series = o.series, rows = rows}
  end)

verb("journal", {{"after", "integer", 0, 0}, RUN}, "its entries but the first so many",
  function(o)
    local list = {}
    for i, e in ipairs(the_run(o):journal()) do
      if i > o.after then list[#list + 1] = e end
    end
    return list
  end)

verb("events", {{"on", "boolean", true}, {"steps", "boolean", false}},
  "what happens from now on, as --json writes it; steps: a line of each step as well",
  function(o, client, server)
    server:hear(client, not o.on and "nothing" or o.steps and "steps" or "events")
    return o.on
  end)

verb("pause", {RUN}, "it stops between two steps", function(o) return the_run(o):pause().name end)
verb("resume", {RUN}, "it goes on", function(o) return the_run(o):resume().name end)
verb("steps", {{"n", "integer", nil, 1}, RUN}, "n steps, then it pauses",
  function(o)
    needs(o, "n")
    return the_run(o):steps(o.n).name
  end)
verb("wait", {{"step", "integer"}, RUN}, "answered when it has come to that step, or stops",
  function(o)
    local r = the_run(o)
    r:wait(o.step)
    return state_of(r)
  end)
verb("checkpoint", {RUN}, "written now: its path", function(o) return the_run(o):checkpoint() end)
verb("note", {{"text", "string"}, RUN}, "a line into the journal",
  function(o)
    needs(o, "text")
    return the_run(o):note(o.text).name
  end)
verb("rewind", {{"step", "integer", nil, 0}, RUN}, "exactly the state after that step, paused",
  function(o)
    needs(o, "step")
    return state_of(the_run(o):rewind(o.step))
  end)
verb("fork", {{"name", "string"}, {"step", "integer", nil, 0}, {"paused", "boolean", true}, RUN},
  "another run from there: its status",
  function(o)
    return state_of(the_run(o):fork{name = o.name, step = o.step, paused = o.paused})
  end)

verb("expert", {{"layer", "integer", nil, 1}, {"expert", "integer", nil, 1}, {"verb", "string"},
                {"arguments", "table"}, RUN},
  "r.layers[layer].experts[expert]:VERB(arguments...)",
  function(o)
    needs(o, "layer", "expert", "verb")
    local layers = the_run(o).layers
    local experts = o.layer <= #layers and layers[o.layer].experts
    if experts == false or not experts or o.expert > #experts then
      engine.error(experts == false and
        ("expert: there is no layer %d; they are numbered 1 to %d"):format(o.layer, #layers)
        or not experts and ("expert: layer %d has no experts"):format(o.layer)
        or ("expert: there is no expert %d; they are numbered 1 to %d"):format(o.expert, #experts))
    end
    local x = experts[o.expert]
    local methods, names = require("switchyard.run.surgery").Expert.methods, {}
    for name in pairs(methods) do
      if name:sub(1, 1) ~= "_" then names[#names + 1] = name end
    end
    table.sort(names)
    if o.verb:sub(1, 1) == "_" or not methods[o.verb] then
      options.unknown("expert", "verb", o.verb, names)
    end
    local result, message, code = methods[o.verb](x, table.unpack(o.arguments or {}))
    if result == x then return o.verb end
    return result, message, code
  end)

local function compile(code)
  local f = load("return " .. code, "=socket", "t", _G)
  if f then return f end
  local why
  f, why = load(code, "=socket", "t", _G)
  if not f then engine.error(why) end
  return f
end

verb("eval", {{"code", "string"}}, "Lua as at the prompt; of several values a list",
  function(o)
    needs(o, "code")
    local got = table.pack(compile(o.code)())
    if got.n <= 1 then return got[1] end
    for i = 1, got.n do
      if got[i] == nil then got[i] = engine.null end
    end
    return table.move(got, 1, got.n, 1, {})
  end)

verb("quit", {}, "save the runs, end the program", function(_, _, server)
  for _, r in ipairs(run.Run.list) do r:stop() end
  server:stop()
  return true
end)

-- ---- a line and its answer ----

local function failure(code, message)
  message = tostring(message):gsub("\n.*", ""):gsub("^switchyard:[^\n]-:%d+: ", "")
  return ('"error":{"code":%s,"message":%s}}'):format(engine.json_scalar(code),
    engine.json_scalar(message))
end

-- The request of a line: its fields, checked; its row.
local function read(line)
  local q, why = engine.json(line)
  if q == nil then return nil, "json", why end
  local id = engine.null
  if type(q) ~= "table" or (#q > 0 or line:match "^%s*%[") then
    return nil, "request", "serve: a request is an object", id
  end
  id = q.id == nil and engine.null or q.id
  local is_id = id == engine.null or type(id) == "number" or type(id) == "string"
  if not is_id or #tostring(id) > 256 then
    return nil, "request", "serve: 'id' must be a number or a text of at most 256 bytes"
  end
  local names = {}
  for i, row in ipairs(ROWS) do names[i] = row.name end
  local row = by_name[q["do"]]
  local good, said = pcall(function()
    if type(q["do"]) ~= "string" then options.unknown("serve", "verb", "", names) end
    if not row then options.unknown("serve", "verb", q["do"], names) end
    local fields = table.move(row.fields, 1, #row.fields, 1, {})
    fields[#fields + 1] = {"id", "any"}
    fields[#fields + 1] = {"do", "any"}
    if row.name ~= "hello" then fields[#fields + 1] = {"who", "string"} end
    return options.read(row.name, q, fields)
  end)
  if not good then return nil, "request", said, id end
  return said, row, nil, id
end

-- The rest of the answer, behind its id.
local function perform(server, client, o, row)
  local who = row.name ~= "hello" and o.who or NAMES[client]
  local good, result, message, code = pcall(function()
    return acting.as(who and "socket: " .. who or "socket", row.f, o, client, server)
  end)
  if not good then return failure("failed", result) end
  if result == nil and type(message) == "string" then
    return failure(type(code) == "string" and code:lower() or "failed", message)
  end
  local fine, text = pcall(value.text, result)
  return fine and ('"result":%s}'):format(text) or failure("result", text)
end

local function handle(server)
  return function(client, line)
    if line == "" then -- it is gone
      NAMES[client] = nil
      return
    end
    local o, row, why, id = read(line)
    local rest = o and perform(server, client, o, row) or failure(row, why)
    id = (id == nil or id == engine.null) and "null" or engine.json_scalar(id)
    server:answer(client, ('{"id":%s,%s'):format(id, rest))
  end
end

-- ---- the command ----

-- A script beside the requests: where it waits, they are served.
local function start_script(server, words, failed)
  local f, why = loadfile(words[1], "t", _G)
  if not f then engine.error(why) end
  server:spawn(function()
    local good, message = xpcall(f, debug.traceback, table.unpack(words, 2))
    if good then return end
    failed.why = message
    server:stop()
  end, words[1])
end

local function start_run(words, o)
  local r = require("switchyard.run.resume").command(words[1], {steps = o.steps, force = o.force,
    code = o.code, paused = o.paused})
  rawset(_G, "r", r)
end

--- serve.command(words, options): until it is ended
function serve.command(words, o)
  local server <close>, failed = engine.serve(o.socket), {}
  local is_file = words[1]:find "%.lua$"
  if is_file then start_script(server, words, failed) else start_run(words, o) end
  engine.line(("serving at %s"):format(engine.clean(o.socket)))
  server:run(handle(server))
  if failed.why then engine.error(failed.why) end
end

serve.ROWS = ROWS
return serve
