-- The directory of a run, runs/NAME/: all that another process needs to go on with it.
--
--   run.sqlite          configuration, metrics, journal, events, samples, code    (src/run/store.h)
--   step-N/             checkpoints                                        (src/train/checkpoint.h)
--   start/step-N/       the state at the beginning, where the seed does not give it: a model that
--                       was loaded or trained before; a fork (hard links of its parent's where it
--                       has them)
--   tokenizer.json      of the model
--   data-tokenizer.json where the data has another
--   teacher/            the model that it learns from, where it has one  (lua/run/teacher.lua)
--   data.txt            a text from memory; data-N.txt: part N of a mix
--   code/               the scripts and modules that had run
--
-- It is made whole as runs/.NAME.new/ and then renamed.  `id` of the configuration is the run's
-- identity: it is in the store, in `lock` and in every checkpoint, and what bears another is
-- refused (directory.check_id).
--
-- Training needs none of it: where the directory cannot be made, an alarm says so and the run goes
-- on without.

local definition = require "switchyard.core.definition"
local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local words = require "switchyard.core.words"
local model = require "switchyard.model.model"
local teacher = require "switchyard.run.teacher"
local directory = {}

local CODE_MOST = 1 << 20 -- bytes of a source

--- Folder and name of a run given by name, or by the path of its directory.
function directory.locate(what, name)
  if type(name) ~= "string" then
    error(what .. ": takes the name of a run or its directory, got " .. type(name), 0)
  end
  local folder, last = name:match "^(.*)/+([^/]+)/*$"
  if not folder then return engine.runs_dir(), name end
  return folder == "" and "/" or folder, last
end

--- Is there a run of this name in a folder (nil: where runs are kept)?
function directory.taken(name, folder)
  local at = folder or engine.runs_dir()
  local path = at .. "/" .. name
  local f = io.open(path .. "/run.sqlite")
  if f then
    f:close()
    local store, _, code = engine.store_open(name, {dir = at})
    if store then store:close() end
    if store or code ~= "NOTFOUND" then return true end -- else it was killed while it was made
  end
  return #(engine.checkpoints(path) or {}) > 0
end

--- Does anything have the name, be it a run or not?
function directory.exists(name)
  local f = io.open(engine.runs_dir() .. "/" .. name)
  if f then f:close() end
  return f ~= nil
end

--- Raises when a checkpoint {path=, id=} is not of the run with this configuration.
function directory.check_id(c, config)
  local id = config.id or ""
  if c.id ~= id then
    error(("checkpoint: %s belongs to another run (its id is %s, this run's %s): move it away")
      :format(c.path, c.id ~= "" and c.id or "none", id ~= "" and id or "none"), 0)
  end
end

-- ---- code ----

local STANDARD = {}
for name in ("_G coroutine debug io math os package string table utf8 switchyard"):gmatch "%S+" do
  STANDARD[name] = true
end

-- Paths of what is running: the sources of the functions on the stack, from the innermost.
local function running()
  local paths = {}
  for level = 2, 200 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    if info.source:sub(1, 1) == "@" then paths[#paths + 1] = info.source:sub(2) end
  end
  return paths
end

-- Paths of modules that were required and are not ours or Lua's, by their names.
local function required()
  local names, paths = {}, {}
  for name in pairs(package.loaded) do
    if type(name) == "string" and not STANDARD[name] and not name:find "^switchyard%." then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do paths[#paths + 1] = package.searchpath(name, package.path) end
  return paths
end

-- What was typed: as one session, and each chunk that defines something alone, for these run
-- whatever was trained before them.
local function typed()
  local list = {}
  if #engine.chunks > 0 then
    list[1] = {path = "session.lua", text = table.concat(engine.chunks, "\n") .. "\n"}
  end
  for i, text in ipairs(definition.chunks) do
    list[#list + 1] = {path = ("definition-%d.lua"):format(i), text = text, definition = true}
  end
  return list
end

-- Each gets a file of its own in code/.
local function name_files(list)
  local used = {}
  for i, s in ipairs(list) do
    local base = s.path:match "[^/]*$":gsub("[^%w._-]", "_")
    s.file = used[base] and i .. "-" .. base or base
    used[base] = true
  end
  return list
end

-- Where the model's family was defined, as debug.getinfo has it: "@PATH" of a file.
local function source_of(m) return debug.getinfo(model._family(m.family).build, "S").source end

-- Files of what is running and of what was required, and what was typed: list of {path=, text=,
-- file=}.
local function sources(m)
  local paths, list, seen = running(), {}, {}
  paths[#paths + 1] = source_of(m):match "^@(.*)"
  for _, path in ipairs(required()) do paths[#paths + 1] = path end
  for _, path in ipairs(paths) do
    local text = not seen[path] and engine.file_read(path)
    if text and #text <= CODE_MOST then list[#list + 1] = {path = path, text = text} end
    seen[path] = true
  end
  for _, s in ipairs(typed()) do list[#list + 1] = s end
  return name_files(list)
end

-- File of code/ that defines the model's family, or nil: it is one of ours, or was typed.
local function family_file(m, code)
  local source = source_of(m)
  if source:find "^=switchyard:" then return nil end
  for _, s in ipairs(code) do
    if source == "@" .. s.path then return s.file end
  end
  for _, s in ipairs(code) do
    if s.path == "session.lua" then return s.file end
  end
end

-- Files of what was typed and defines something, or nil.
local function definitions_in(code)
  local list = {}
  for _, s in ipairs(code) do
    if s.definition then list[#list + 1] = s.file end
  end
  return #list > 0 and list or nil
end

-- ---- what goes into run.sqlite ----

-- parts: of a mix, their names, shares and configurations.
local function data_config(d)
  local spec = engine.data_spec(d) or {}
  local out = {kind = spec.kind, hash = d.hash, tokens = d.tokens, cwd = engine.cwd(),
               options = {}, reader = 2}
  for k, v in pairs(spec.options or {}) do
    if k ~= "tokenizer" then out.options[k] = v end
  end
  if spec.kind ~= "string" then out.source = spec.source end
  for i, part in ipairs(spec.parts or {}) do
    out.parts = out.parts or {}
    out.parts[i] = {name = part.name, share = part.share, data = data_config(part.data)}
  end
  return out
end

-- f(file, d) for every text from memory that the data is made of.
local function each_text(d, f)
  local spec = engine.data_spec(d) or {}
  if spec.kind == "string" then return f("data.txt", spec.source) end
  for i, part in ipairs(spec.parts or {}) do
    local its = engine.data_spec(part.data) or {}
    if its.kind == "string" then
      local ok, why = f("data-" .. i .. ".txt", its.source)
      if not ok then return ok, why end
    end
  end
  return true
end

-- matched: added tokens were looked for in text, and the text was normalized.  Runs without it are
-- older: their tokenizers are read as they were then, so that their data has the same ids.
-- Bytes alone need no file.
local function tokenizer_config(tok, file)
  return {kind = tok.kind, hash = tok.hash, matched = not engine.tokenizer_is_bare(tok),
          file = (tok.kind ~= "bytes" or tok.size > 256) and file or nil}
end

local function tokenizers(m, d)
  local mine, other = m.tokenizer, d.tokenizer
  return {model = mine and tokenizer_config(mine, "tokenizer.json"),
          data = other and tokenizer_config(other,
            other == mine and "tokenizer.json" or "data-tokenizer.json")}
end

-- What of the model users defined, by what it was (lua/core/definition.lua); nil: nothing.
local function defined_by_users(m)
  local list = {}
  for of, hash in pairs(m._definitions) do list[of] = hash end
  return next(list) and list or nil
end

-- Options of train() that are plain values.
local function plain_options(o)
  local given = {}
  for k, v in pairs(o) do
    local plain = type(v) ~= "table" or k == "objective"
    if k ~= "name" and k ~= "paused" and k ~= "rules" and plain then given[k] = v end
  end
  return given
end

-- What the script was called with, or nil.
local function script_arguments()
  if type(arg) ~= "table" then return nil end
  local args = {}
  for i, a in ipairs(arg) do args[i] = tostring(a) end
  return args
end

local function model_config(m, code)
  local fine, cfg = pcall(json.plain, m.cfg, "config", "model")
  return {family = m.family, config = fine and cfg or nil, why = not fine and tostring(cfg) or nil,
          chosen = next(m._chosen) and m._chosen or nil, rules = m._rules,
          code = family_file(m, code)}
end

--- The configuration of a run as a table of plain values.  initial: hash of the state it begins
-- with.
function directory.config(m, d, o, initial, code)
  return {
    format = 1, version = engine.version, exact = engine.exact, rules = o.rules, initial = initial,
    args = script_arguments(),
    -- windows are counted; nil: they are numbered by step (src/train/order.c), and evaluations saw
    -- others
    order = 2,
    model = model_config(m, code),
    script = code[1] and code[1].file or nil,
    definitions = definitions_in(code),
    defined = defined_by_users(m),
    bf16 = o.precision == "bf16" and engine.bf16 or nil,
    flops_per_token = teacher.flops(m, o), -- for charts by FLOPs; 0: not known
    teacher = teacher.config(o.teacher),
    sources = #d.sources > 1 and table.move(d.sources, 1, #d.sources, 1, {}) or nil,
    traced = o.traced and o.traced.texts or nil,
    layers = #m._labels > 0 and m._labels or nil, -- what people call them: "enc 1"
    train = plain_options(o), data = data_config(d), tokenizer = tokenizers(m, d),
  }
end

--- What a live run was started with, as JSON; also of one that has no directory.
function directory.config_text(r)
  return json.text(r._config or directory.config(r._m, r._d, r._o, "", {}))
end

-- ---- making ----

local function write_code(path, code)
  if #code == 0 then return true end
  local ok, why = engine.dir_make(path .. "/code")
  for _, s in ipairs(code) do
    if ok then ok, why = engine.file_write(path .. "/code/" .. s.file, s.text) end
  end
  return ok, why
end

-- begin: with start/, where the run needs it.
local function write_files(r, path, config, code, begin)
  local t = config.tokenizer
  local ok, why = true, nil
  if t.model and t.model.file then ok, why = r._m.tokenizer:save(path .. "/" .. t.model.file) end
  if ok and t.data and t.data.file == "data-tokenizer.json" then
    ok, why = r._d.tokenizer:save(path .. "/data-tokenizer.json")
  end
  if ok then
    ok, why = each_text(r._d, function(file, text)
      return engine.file_write(path .. "/" .. file, text)
    end)
  end
  if ok then ok, why = teacher.save(r._o.teacher, path) end
  if ok then ok, why = write_code(path, code) end
  if ok and begin and (not r._fresh or r.step > 0) then
    ok, why = r._h:checkpoint_to(path, "start")
  end
  return ok, why
end

--- The name is ours from now on: a store to be filled, or nil, why, code (STATE: it is taken).
-- What is to be in the directory goes to its path(), which is another when it has been filled.
-- folder: nil, where runs are kept.
function directory.claim(name, folder)
  return engine.store_claim(name, folder or engine.runs_dir())
end

-- All of the directory but what follows from its store; nil, why, code.
local function fill_directory(r, store, config, code, more)
  local d, text = r._d, json.text(config)
  r._h:set_config(text, config.id) -- start/ has it, too
  local ok, why = write_files(r, store:path(), config, code, not more.parent)
  if not ok then return nil, why, "IO" end
  return store:fill{config = text, steps = r._h:get "steps", data = d.hash,
                    tokenizer = d.tokenizer and d.tokenizer.hash or nil,
                    parent = more.parent, parent_step = more.parent_step}
end

-- What r writes goes to the store and its directory from now on: true, or nil, why, code.
local function attach(r, store)
  local ok, why, kind = store:attach(r._h)
  if not ok then return nil, why, kind end
  ok, why = r._h:set_dir(store:path(), r._o.keep, r._o.keep_every)
  if not ok then return nil, why, "IO" end
  return true
end

--- The directory of a new run r, which has not started: true; or nil and why there is none, code
-- STATE when the name is taken.  more: folder=, where it is to be; parent=, parent_step=, config=,
-- store= (claimed) of a fork.
-- The lock comes first, so that two who want a name do not write each other's files; what makes it
-- a run comes last: who is killed before has none, and may begin again.
function directory.create(r, more)
  more = more or {}
  local code = sources(r._m)
  local config = more.config or directory.config(r._m, r._d, r._o, r._h:hash(), code)
  local journal = not more.parent and r._h:journal() or {}
  if not more.parent and r.step > 0 then config.begins = r.step end -- it had no directory until now
  local store, ok, why, kind = more.store, nil, nil, nil
  if not store then store, why, kind = directory.claim(r._o.name, more.folder) end
  if not store then return nil, why, kind end
  config.id = store:id()
  ok, why, kind = fill_directory(r, store, config, code, more)
  if not ok then
    store:close() -- and with it what has no name yet
    return nil, why, kind
  end
  for _, s in ipairs(code) do store:add("code", 0, s.file, s.text) end
  rawset(r, "_store", store)
  rawset(r, "_config", config)
  for _, e in ipairs(journal) do store:add_entry(e) end
  return attach(r, store)
end

-- All of r's directory in another; what the store has is copied from the files that are still open.
local function move_to(r, store, old)
  local code = {}
  for _, e in ipairs(old:entries("code", 0, true) or {}) do
    code[#code + 1] = {file = e.kind, text = e.text}
  end
  local ok, why = write_files(r, store:path(), r._config, code, false)
  if not ok then return nil, why end
  old:detach()
  ok, why = store:inherit(old)
  if not ok then
    old:attach(r._h)
    return nil, why
  end
  rawset(r, "_store", store)
  ok, why = store:attach(r._h)
  old:close() -- of it nothing is left to be written
  if not ok then return nil, why end
  return r._h:set_dir(store:path(), r._o.keep, r._o.keep_every)
end

--- The directory of a live run was deleted: it is made anew with all that is still known, and a
-- checkpoint of its current state.  What cannot be done now is tried again; the store's alarm has
-- said so.
function directory.renew(r)
  local old, h = r._store, r._h
  if not old or not old:lost() or rawget(r, "_busy") then return end
  local store, why = directory.claim(r._o.name, old:path():match "^(.+)/[^/]*$")
  if not store then return nil, why end
  h:hold()
  local held <close> = setmetatable({}, {__close = function() h:release() end})
  local ok
  ok, why = move_to(r, store, old)
  if ok then ok, why = h:checkpoint() end
  if r._store ~= store then store:close() end
  if ok then
    engine.event(r._o.name, "note",
      ("%s was deleted: made anew, with a checkpoint of step %d"):format(store:path(), r.step))
  end
  return ok, why
end

-- ---- making again what a configuration tells of ----

--- The configuration in a store: a table, or raises.
function directory.read(what, store)
  local info = assert(store:info())
  local config = engine.json(info.config or "{}")
  local whole = type(config) == "table" and config.format == 1
  for _, part in ipairs {"model", "data", "train", "tokenizer"} do
    whole = whole and type(config[part]) == "table"
  end
  if not whole then
    error(("%s: run '%s' does not say how it was made"):format(what, info.name), 0)
  end
  return config, info
end

local function load_tokenizer(what, path, t)
  if not t then return nil end
  local tok, why
  local read = t.matched and tokenizer.load or engine.tokenizer_load_bare
  if t.kind == "bytes" and not t.file then tok = tokenizer.bytes()
  else tok, why = read(path .. "/" .. tostring(t.file)) end
  if not tok then error(("%s: the tokenizer of the run: %s"):format(what, why), 0) end
  return tok
end

-- f(...) with what it prints going to this file (nil: as ever); of a command, whose standard output
-- has its result.
local function beside(file, f, ...)
  if not file then return f(...) end
  local io, print, write, stdout = _G.io, _G.print, _G.io.write, _G.io.stdout
  _G.print = function(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    file:write(table.concat(texts, "\t"), "\n")
  end
  io.write, io.stdout = function(...) return file:write(...) end, file
  local back <close> = setmetatable({},
    {__close = function() _G.print, io.write, io.stdout = print, write, stdout end})
  return f(...)
end

-- Run a file of code/ up to its first train(): true, or false and an error.
local function run_file(what, path, config, name)
  if not tostring(name):match "^[%w._-]+$" then
    error(("%s: a strange name of a script: %s"):format(what, tostring(name)), 0)
  end
  local file = path .. "/code/" .. name
  local text, why = engine.file_read(file)
  if not text then error(("%s: %s"):format(what, why), 0) end
  local stop = {}
  local function halt() error(stop, 0) end
  local train = setmetatable({}, {__call = halt, __index = halt})
  local env = setmetatable({train = train, arg = config.args or {}}, {__index = _G})
  local f, wrong = load(text, "@" .. file, "t", env)
  if not f then error(("%s: %s"):format(what, wrong), 0) end
  local before = package.path
  package.path = path .. "/code/?.lua;" .. before
  local ok, e = words.unchecked(beside, directory.output, pcall, f,
    table.unpack(config.args or {}))
  package.path = before
  return ok or e == stop, e
end

-- Run a stored script up to its first train(), and what was typed behind that and defines
-- something: the model's family, or its router, is defined on the way.  Returns what they raised, a
-- text, or nil: it matters where the model cannot be made, for what they did beside may need what
-- is not here.
local function run_code(what, path, config)
  local raised, seen = {}, {}
  local function run(name)
    local fine, e = run_file(what, path, config, name)
    local text = not fine and tostring(e):match "[^\n]*"
    if text and not seen[text] then
      seen[text], raised[#raised + 1] = true, text
    end
  end
  run(config.model.code or config.script)
  local definitions = type(config.definitions) == "table" and config.definitions or {}
  for _, name in ipairs(definitions) do run(name) end
  return #raised > 0 and table.concat(raised, "; ") or nil
end

-- What is said behind a reason why the model cannot be made: of its script, which ran or may run.
local function of_script(path, config, code, raised)
  local also = raised and "; on the way: " .. raised or ""
  if not config.script then return also end
  return (code and "; what %s/code/%s defines before its first train() was looked at"
    or "; {code = true} (--code) runs %s/code/%s up to its first train() before")
    :format(path, config.script) .. also
end

--- The model as it was before the first step, but for what start/ holds.
function directory.model(what, path, config, code)
  local family, raised = config.model.family, nil
  if code and (config.model.code or config.script) then raised = run_code(what, path, config) end
  if raised and not model._family(family) then error(("%s: %s"):format(what, raised), 0) end
  if not model._family(family) then
    local file = config.model.code
    error(("%s: the model is model.%s, which is not defined here: %s"):format(what, family, file and
      ("run %s/code/%s yourself, or pass {code = true} (--code), which runs it up to its first "
      .. "train()"):format(path, file)
      or "define it first (model.define)"), 0)
  end
  if type(config.model.config) ~= "table" then
    error(("%s: the model cannot be made again: %s"):format(what, tostring(config.model.why)), 0)
  end
  local ok, m = pcall(model._Model.new, family, config.model.config, true)
  if not ok then
    error(("%s: %s%s"):format(what, tostring(m), of_script(path, config, code, raised)), 0)
  end
  m.tokenizer = load_tokenizer(what, path, config.tokenizer.model)
  m:_were_chosen(config.model.chosen)
  m._rules = config.model.rules
  return m
end

local function absolute(cwd, source)
  if type(source) == "table" then
    local out = {}
    for k, p in pairs(source) do out[k] = absolute(cwd, p) end
    return out
  end
  return source:sub(1, 1) == "/" and source or cwd .. "/" .. source
end

local function source_text(source)
  if type(source) ~= "table" then return tostring(source) end
  if source.train then
    return source_text(source.train) .. "; for validation " .. source_text(source.val)
  end
  return table.concat(source, ", ")
end

local function read_source(kind, source, o)
  local read = engine["data_" .. kind]
  if type(source) ~= "table" or not source.train then return read(source, o) end
  local all = {train = source.train, val = source.val}
  for k, v in pairs(o) do all[k] = v end
  return read(all)
end

local function read_files(c, given)
  local o = {}
  for k, v in pairs(given) do o[k] = v end
  o.weights = o.weights and absolute(c.cwd, o.weights)
  local d, why = read_source(c.kind, absolute(c.cwd, c.source), o)
  return d or read_source(c.kind, c.source, o), why
end

-- How runs from before files were recognized by their content (they have no `reader`) read files
-- that were not .jsonl.
local BEFORE = {text = "bytes", shards = "u16"}

local function from_files(c, o)
  local fine, d, why = pcall(read_files, c, o)
  if c.reader or (fine and d and d.hash == c.hash) then
    if not fine then error(d, 0) end
    return d, why
  end
  local old = {}
  for k, v in pairs(o) do old[k] = v end
  old.field, old.format = nil, BEFORE[c.kind]
  local again, before = pcall(read_files, c, old)
  if again and before and before.hash == c.hash then return before end
  if not fine then return nil, d end
  return d, why
end

-- Languages: the paths are the source of pairs, and an option of catalogues.  From the folder of
-- then, else as they were given.
local LANGUAGES = {
  pairs = function(c, o)
    local d, why = engine.data_pairs(absolute(c.cwd, c.source), o)
    return d or engine.data_pairs(c.source, o), why
  end,
  catalogues = function(c, o)
    local from = {}
    for k, v in pairs(o) do from[k] = v end
    from.path = o.path and absolute(c.cwd, o.path)
    if type(o.help) == "string" then from.help = absolute(c.cwd, o.help) end
    local d, why = engine.data_catalogues(from)
    return d or engine.data_catalogues(o), why
  end,
}

local read_data

local function read_mix(what, path, c, tok)
  local list = {}
  for i, part in ipairs(c.parts or {}) do
    local d, why = read_data(what, path, part.data, tok, "data-" .. i .. ".txt")
    if not d then return nil, ("'%s': %s"):format(part.name, why) end
    list[i] = {d, part.share, name = part.name}
  end
  return data.mix(list)
end

-- nil and why: it cannot be read.
function read_data(what, path, c, tok, file)
  local o = {}
  for k, v in pairs(c.options or {}) do o[k] = v end
  o.tokenizer = tok
  if c.kind == "synthetic" then return data.synthetic(o) end
  if c.kind == "string" then
    local text, why = engine.file_read(path .. "/" .. file)
    return text and data.string(text, o), why
  end
  if BEFORE[c.kind] then return from_files(c, o) end
  if LANGUAGES[c.kind] then return LANGUAGES[c.kind](c, o) end
  if c.kind == "mix" then return read_mix(what, path, c, tok) end
  return nil, "how it was made is not known"
end

--- The data set; raises when it cannot be read.
function directory.data(what, path, config)
  local tok = load_tokenizer(what, path, config.tokenizer.data)
  local d, why = read_data(what, path, config.data, tok, "data.txt")
  if not d then
    error(("%s: the data of the run: %s; pass {data = d} to give it"):format(what, why), 0)
  end
  return d
end

--- What has changed in the kernels, where that changes bits: a text, or nil.
function directory.kernels_differ(config)
  if config.exact ~= engine.exact then
    return ("the kernels changed: version %d, was %s"):format(engine.exact, config.exact)
  elseif config.bf16 and config.bf16 ~= engine.bf16 then
    return ("the kernels changed: bf16 products are by %s, were by %s"):format(engine.bf16,
      config.bf16)
  end
end

-- Which data sets of a mix are others than they were: " ('books')", or nothing.
local function changed_parts(c, d)
  local list, parts = {}, (engine.data_spec(d) or {}).parts
  for i, part in ipairs(c.parts or {}) do
    local now = parts and parts[i]
    if not now or now.data.hash ~= part.data.hash then list[#list + 1] = "'" .. part.name .. "'" end
  end
  return #list > 0 and " (" .. table.concat(list, ", ") .. ")" or ""
end

--- What has changed in data, tokenizers and kernels: a text, or nil.
function directory.difference(config, m, d)
  local t, list = config.tokenizer, {}
  local name = config.data.source and " (" .. source_text(config.data.source) .. ")" or
    changed_parts(config.data, d)
  if d.hash ~= config.data.hash then
    list[#list + 1] = ("the data%s changed: hash %s, was %s%s"):format(name, d.hash,
      config.data.hash, config.data.reader and ""
      or " (files were read otherwise then: what was not .jsonl as it lay there)")
  end
  local tok, mine = d.tokenizer, m.tokenizer
  if t.data and (not tok or tok.hash ~= t.data.hash) then
    list[#list + 1] = ("the tokenizer of the data changed: hash %s, was %s")
      :format(tok and tok.hash or "none", t.data.hash)
  elseif (mine and mine.hash) ~= (t.model and t.model.hash) then
    list[#list + 1] = ("the tokenizer changed: hash %s, was %s"):format(mine and mine.hash or
      "none", t.model and t.model.hash or "none")
  end
  list[#list + 1] = directory.kernels_differ(config)
  return #list > 0 and table.concat(list, "; ") or nil
end

return directory
