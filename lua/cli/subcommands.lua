-- switchyard resume | replay | generate | trace | bakeoff | export | serve: the commands that need
-- Lua.  src/main.c calls run(name, words...) and has already taken the options of all (--runs,
-- --json, --threads, --help); the table of commands with their help is in src/cli/subcommands.c.
--
-- Exit status: 0; 1 what failed, or a replay that differs; 2 usage.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local generate = require "switchyard.model.generate"
local cli = {}

local function tell(text)
  io.stderr:write("switchyard: ", engine.clean((text:gsub("\n.*", ""))), "\n")
end

local function usage(text, ...)
  tell(text:format(...))
  os.exit(2)
end

-- A number, whole where `kind` says so.
local function number(command, option, kind, text)
  local v = tonumber(text)
  if kind == "integer" then v = v and math.tointeger(v) end
  if not v then
    usage("%s: %s must be a %snumber: it is '%s'", command, option,
      kind == "integer" and "whole " or "", text)
  end
  return v
end

-- Words and options {["--steps"] = "integer", ["--family"] = "text", ["--force"] = "flag"}; `most`
-- words.
local function parse(command, args, known, least, most, wanted)
  local words, given, i, plain = {}, {}, 1, false
  while i <= #args do
    local name, value = args[i]:match "^(%-%-[%w-]+)=?(.*)$"
    local kind = name and known[name]
    if plain or args[i]:sub(1, 1) ~= "-" or args[i] == "-" then
      words[#words + 1] = args[i]
    elseif args[i] == "--" then
      plain = true
    elseif not kind then
      local names = {}
      for k in pairs(known) do names[#names + 1] = k end
      table.sort(names)
      local near = engine.nearest(args[i], names)
      usage("%s: unknown option '%s'%s", command, args[i],
        near and (" (did you mean '%s'?)"):format(near)
        or "; there are " .. table.concat(names, ", "))
    elseif kind == "flag" then
      given[name:sub(3)] = true
    else
      if not args[i]:find "=" then i = i + 1; value = args[i] end
      if not value then usage("%s: option '%s' needs an argument", command, name) end
      given[name:sub(3)] = kind == "text" and value or number(command, name, kind, value)
    end
    i = i + 1
  end
  if #words < least then usage("%s: %s", command, wanted) end
  if #words > most then usage("%s: what is '%s'?", command, words[most + 1]) end
  return words, given
end

local WHICH = "which run? `switchyard runs` lists those in " .. engine.runs_dir()
local commands = {}

function commands.resume(args)
  local words, o = parse("resume", args, {["--steps"] = "integer", ["--force"] = "flag",
                                          ["--code"] = "flag"}, 1, 1, WHICH)
  local r = require("switchyard.run.resume").command(words[1],
    {steps = o.steps, force = o.force, code = o.code})
  r:wait(r.step + 1)
  local s = r._h:status() -- r.steps is the method
  if s.state == enum.state.DONE and s.step >= s.steps and not o.steps then
    engine.event(r.name, "note", ("done at step %d; --steps N trains on"):format(s.step))
  end
end

function commands.replay(args)
  local words, o = parse("replay", args, {["--step"] = "integer", ["--code"] = "flag"}, 1, 1, WHICH)
  -- standard output has the one line
  local function say(text) io.stderr:write(engine.clean(text), "\n") end
  local result = require("switchyard.run.replay").telling(words[1],
    {step = o.step, code = o.code}, say)
  print(engine.clean(result.text))
  if not result.identical then os.exit(1) end
end

-- The prompt of a command: text, or token ids for a model that has no tokenizer.
local function prompt_of(m, text)
  if not text then return generate.opening(m) end
  if m.tokenizer or not text:match "^[%d%s]*$" then return text end
  local ids = {}
  for id in text:gmatch "%d+" do ids[#ids + 1] = math.tointeger(tonumber(id)) or -1 end
  return ids
end

function commands.generate(args)
  local words, o = parse("generate", args, {["--tokens"] = "integer", ["--temperature"] = "number",
    ["--top-k"] = "integer", ["--top-p"] = "number", ["--seed"] = "integer", ["--code"] = "flag"},
    1, 2, WHICH)
  local m = require("switchyard.run.stored").model("generate", words[1], o.code)
  local text = m:generate(prompt_of(m, words[2]),
    {tokens = o.tokens, temperature = o.temperature, top_k = o["top-k"],
    top_p = o["top-p"], seed = o.seed})
  if type(text) == "table" then text = generate.text_of(m, text) end
  engine.write(text:sub(-1) == "\n" and text or text .. "\n")
end

-- What a file of a bake-off returns: the table for bakeoff, or a bake-off that it has made itself.
local function bakeoff_of(path)
  local f, why = loadfile(path, "t")
  if not f then error("bakeoff: " .. why, 0) end
  local given = f()
  if type(given) == "table" then return given end
  error(("bakeoff: %s returned %s: it ends with  return {routers = ..., data = ..., ...}"):format(
    path, type(given)), 0)
end

function commands.bakeoff(args)
  local words, o = parse("bakeoff", args, {["--name"] = "text", ["--seeds"] = "integer",
    ["--flops"] = "number", ["--tokens"] = "number", ["--seconds"] = "number",
    ["--save"] = "text"}, 1, 1, "which file? It returns what bakeoff takes: {routers = ..., ...}")
  if (o.flops and 1 or 0) + (o.tokens and 1 or 0) + (o.seconds and 1 or 0) > 1 then
    usage "bakeoff: --flops, --tokens and --seconds are one budget each: give one of them"
  end
  local lab = require "switchyard.lab.bakeoff"
  local paths = {}
  for path in (o.save or ""):gmatch "[^,]+" do paths[#paths + 1] = path end
  if o.save then lab.check_paths(paths) end
  local b = bakeoff_of(words[1])
  if getmetatable(b) ~= lab.class then
    for _, name in ipairs {"name", "seeds"} do if o[name] then b[name] = o[name] end end
    for _, kind in ipairs {"flops", "tokens", "seconds"} do
      if o[kind] then b.budget = {[kind] = o[kind]} end
    end
    b.name = b.name or words[1]:match "([^/]*)$":gsub("%.lua$", "")
    b = lab.bakeoff(b)
  elseif o.name or o.seeds or o.flops or o.tokens or o.seconds then
    error(("bakeoff: %s has made its bake-off itself: only --save has an effect"):format(words[1]),
      0)
  end
  print(b:table())
  if #paths > 0 then assert(b:save(table.unpack(paths))) end
end

local function numbers_of(text)
  local list = {}
  for word in (text .. ","):gmatch "([^,]*)," do
    list[#list + 1] = number("trace", "--layer", "integer", word)
  end
  return list
end

function commands.trace(args)
  local words, o = parse("trace", args, {["--step"] = "integer", ["--layer"] = "text",
    ["--precision"] = "text", ["--save"] = "text", ["--code"] = "flag"}, 2, 2,
    "takes a run and a text")
  local layers = o.layer and numbers_of(o.layer)
  local s = require("switchyard.run.stored").runs(words[1])
  local trace = require "switchyard.lab.trace"
  local t = trace.of_run(s, function(m) return prompt_of(m, words[2]) end, {step = o.step,
    layers = layers, precision = o.precision, windows = true,
    code = o.code})
  if o.save then
    local ok, why = t:save(o.save)
    if not ok then error(why, 0) end
  end
  local text = require "switchyard.lab.trace_text"
  if engine.object() then return engine.object(text.json(t)) end
  local pens = engine.pens()
  print(pens and text.painted(t, pens) or text.plain(t))
end

-- One line a fault with --json, else the report; status 1 where there is one.
function commands.lint(args)
  local words, o = parse("lint", args, {["--code"] = "flag"}, 1, 1, WHICH)
  local list = require("switchyard.lab.lint").stored(words[1], o.code)
  for _, f in ipairs(list) do engine.object(f:json()) end
  if not engine.object(list:json()) then print(tostring(list)) end
  if #list > 0 then os.exit(1) end
end

function commands.export(args)
  local words, o = parse("export", args, {["--code"] = "flag", ["--family"] = "text"}, 2, 2,
    "takes a run and a folder")
  local m, step = require("switchyard.run.stored").model("export", words[1], o.code)
  local ok, why = m:save(words[2], {family = o.family})
  if not ok then error(why, 0) end
  print(engine.clean(("%s: the model at step %d%s"):format(words[2], step,
    why and "; " .. why or "")))
end

function commands.serve(args)
  local words, o = parse("serve", args, {["--socket"] = "text", ["--steps"] = "integer",
    ["--paused"] = "flag", ["--force"] = "flag", ["--code"] = "flag"}, 1, 1 << 20,
    "which run, or which script? `switchyard runs` lists the runs in " .. engine.runs_dir())
  if not o.socket then usage "serve: takes --socket PATH" end
  local is_file = words[1]:find "%.lua$"
  if not is_file and words[2] then usage("serve: what is '%s'?", words[2]) end
  for name in pairs(is_file and o or {}) do
    if name ~= "socket" then usage("serve: --%s is of a run, not of a script", name) end
  end
  require("switchyard.serve.serve").command(words, o)
end

--- cli.run(name, words...): ends the program with the status, unless there are runs to wait for
function cli.run(name, ...)
  require("switchyard.run.directory").output = io.stderr
  local ok, why = pcall(commands[name], {...})
  if ok then return end
  if type(why) ~= "string" or why:find "interrupted$" then error(why, 0) end
  tell((why:gsub("^switchyard:[^\n]-:%d+: ", ""))) -- places in users' scripts stay
  os.exit(1)
end

return cli
