-- Candidates for what stands before the cursor: globals, fields, methods, names of options inside a
-- call's table, names of runs and series in strings, :commands, ?names, keywords.
--
--  1. It never raises, runs no code of the user's, and leaves nothing behind: tables are read raw,
--     and of the functions __index only those of a live run, of fields.lua and of our userdata are
--     called.  A stored run's would open files and build its model.
--  2. It takes no time that is felt, whatever stands in the line or in a table: patterns that end
--     at the cursor look no more than REACH bytes back, and no more than MOST keys are looked at.
--  3. A candidate replaces the word before the cursor as the line editor sees it: behind the last
--     space or punctuation, or all of an unfinished string.

local engine = require "switchyard.engine"
local help = require "switchyard.help.help"
local commands = require "switchyard.prompt.commands"
local routing = require "switchyard.model.routing"
local Run = require("switchyard.run.run").Run
local Stored = require("switchyard.run.stored").Stored
local fields = require "switchyard.core.fields"
local words = require "switchyard.core.words"

local REACH, MOST = 256, 50000

local complete = {}

-- Values of options that are texts: those of train are in its rows.
local CHOICES = {
  dtype = {"f32", "f64", "bf16", "i32", "i64", "u8", "bool"},
  mask = {"causal", "full"},
}
for _, row in ipairs(require("switchyard.run.train").rows()) do CHOICES[row[1]] = row.choices end

-- Functions whose texts are names of runs.
local OF_RUNS = {}
for name in ("runs train.resume replay compare watch overlay pause resume stop fork rewind")
  :gmatch "%S+" do
  OF_RUNS[name] = true
end

-- ---- where the cursor is ----

-- The end of a long bracket that begins at i, or nil: there is none.  False: it is not finished.
local function long_end(line, i)
  local level = line:match("^%[(=*)%[", i)
  if not level then return nil end
  local _, last = line:find("]" .. level .. "]", i, true)
  return last or false
end

local function quoted_end(line, i)
  local quote, k = line:sub(i, i), i + 1
  while k <= #line do
    local c = line:sub(k, k)
    if c == quote then return k end
    k = k + (c == "\\" and 2 or 1)
  end
  return false
end

-- Open brackets as {open, at}, and what the end of the line is in: "string" with the place
-- of its quote, "comment", or nil.
local function context(line)
  local stack, i = {}, 1
  while i <= #line do
    local c = line:sub(i, i)
    if line:find("^%-%-", i) then
      local last = long_end(line, i + 2)
      if not last then return stack, "comment" end
      i = last
    elseif c == '"' or c == "'" then
      local last = quoted_end(line, i)
      if not last then return stack, "string", i end
      i = last
    elseif c == "[" and long_end(line, i) ~= nil then
      local last = long_end(line, i)
      if not last then return stack, "comment" end
      i = last
    elseif c == "(" or c == "{" or c == "[" then
      stack[#stack + 1] = {open = c, at = i}
    elseif c == ")" or c == "}" or c == "]" then
      stack[#stack] = nil
    end
    i = i + 1
  end
  return stack
end

-- The name of what is called with this bracket, or nil.
local function called_with(line, bracket)
  local name = bracket and line:sub(math.max(1, bracket.at - REACH),
    bracket.at - 1):match "([%a_][%w_.:]*)%s*$"
  return not words.is_lua(name) and name or nil
end

-- ---- looking without running anything ----

local function is_live(v)
  for _, r in ipairs(Run.list) do
    if rawequal(r, v) then return true end
  end
  return false
end

-- Whether this function __index answers at once and without effect.
local function harmless(index, v, meta)
  if type(index) ~= "function" then return false end
  if type(v) == "userdata" then
    local name = rawget(meta, "__name")
    return debug.getinfo(index, "S").what == "C" and type(name) == "string" and
      name:sub(1, 11) == "switchyard."
  end
  return fields.is_quiet(index) or is_live(v)
end

-- Field of a value; nil when there is none or it would take the user's code to know.
local function field(v, key)
  for _ = 1, 8 do
    if type(v) == "table" then
      local raw = rawget(v, key)
      if raw ~= nil then return raw end
    end
    local meta = debug.getmetatable(v)
    local index = type(meta) == "table" and rawget(meta, "__index")
    if harmless(index, v, meta) then
      local fine, value = pcall(index, v, key)
      return fine and value or nil
    end
    if type(index) ~= "table" then return nil end
    v = index
  end
end

-- The value of a.b[1].c, or nil.
local function walk(path)
  local name, rest = path:match "^([%a_][%w_]*)(.*)$"
  local v = name and field(_G, name)
  while v ~= nil and rest ~= "" do
    local key, more = rest:match "^%.([%a_][%w_]*)(.*)$"
    if not key then
      key, more = rest:match "^%[(%d+)%](.*)$"
      key = key and tonumber(key)
    end
    if not key then return nil end
    v, rest = field(v, key), more
  end
  return v
end

local function begins(name, prefix)
  return type(name) == "string" and name:sub(1, #prefix) == prefix and name:find "^[%a_][%w_]*$" and
    not words.is_lua(name) and (prefix:sub(1, 1) == "_" or name:sub(1, 1) ~= "_")
end

-- Keys of a table behind `key`, MOST at the most; whether that was all.
local function add_behind(set, t, key, prefix, methods)
  for _ = 1, MOST do
    local v
    key, v = next(t, key)
    if key == nil then return true end
    if begins(key, prefix) and (not methods or type(v) == "function") then set[key] = true end
  end
  return false
end

local function add_keys(set, t, prefix, methods)
  if type(t) ~= "table" or add_behind(set, t, nil, prefix, methods) then return end
  -- names behind a long list
  if rawlen(t) > MOST then add_behind(set, t, rawlen(t), prefix, methods) end
end

local FIELDS = {tensor = {"shape", "dtype", "size", "ndim", "bytes", "grad", "requires_grad"}}

-- Keys of a value: its own, its metatable's __index tables, its methods and declared fields.
local function add_members(set, v, prefix, methods)
  local depth = 0
  if type(v) == "table" then add_keys(set, v, prefix, methods) end
  local meta = debug.getmetatable(v)
  while type(meta) == "table" and depth < 8 do
    add_keys(set, rawget(meta, "methods"), prefix, methods)
    if not methods then
      add_keys(set, rawget(meta, "fields"), prefix)
      for _, name in ipairs(FIELDS[rawget(meta, "__metatable") or ""] or {}) do
        if begins(name, prefix) then set[name] = true end
      end
    end
    local index = rawget(meta, "__index")
    if type(index) ~= "table" then break end
    add_keys(set, index, prefix, methods)
    meta, depth = debug.getmetatable(index), depth + 1
  end
  if not methods and is_live(v) then
    for _, name in ipairs(Run._settable(v)) do if begins(name, prefix) then set[name] = true end end
  end
end

-- ---- options ----

-- The function whose options the innermost open table is, and where that begins.
local function options_of(line, stack)
  local top, below = stack[#stack], stack[#stack - 1]
  if not top or top.open ~= "{" then return nil end
  return called_with(line, top) or below and below.open == "(" and
    called_with(line, below) or nil, top.at
end

-- Names of the options that a function takes, or nil.
local function option_names(name)
  local entry, names = help.entry(name), {}
  if not entry then return nil end
  local source = entry.options and debug.getinfo(entry.options, "S").source or ""
  local own = source:sub(1, 12) == "=switchyard:"
  local rows = own and entry.options() or {} -- the rows themselves are the user's in a model of his
  for i = 1, math.min(rawlen(rows), MOST) do
    local row = rawget(rows, i)
    names[#names + 1] = type(row) == "table" and rawget(row, 1) or nil
  end
  for option in (entry.signature:match "%b{}" or ""):gmatch "([%a_][%w_]*)%s*=" do
    names[#names + 1] = option
  end
  return names
end

local function add_options(set, line, stack, prefix)
  local name, at = options_of(line, stack)
  local names = name and option_names(name)
  if not names then return false end
  local given = {}
  for key in line:sub(at):gmatch "%f[%w_]([%a_][%w_]*)%s*=[^=]" do given[key] = true end
  for _, option in ipairs(names) do
    if begins(option, prefix) and not given[option] then set[option .. " = "] = true end
  end
  return #names > 0
end

-- ---- texts ----

local function run_names(live)
  local names = {}
  for _, r in ipairs(Run.list) do names[#names + 1] = rawget(r, "_o").name end
  local fine, list = pcall(engine.store_runs)
  for _, info in ipairs(not live and fine and list or {}) do names[#names + 1] = info.name end
  return names
end

local function add_names(set, names, prefix)
  for _, name in ipairs(names) do
    if name:sub(1, #prefix) == prefix then set[name] = true end
  end
end

local function series_of(v)
  if not is_live(v) and debug.getmetatable(v) ~= Stored then return {} end
  local fine, names = pcall(debug.getmetatable(v).methods.series, v)
  return fine and names or {}
end

-- In a string that begins at `at`: names that fit there; false: a file name.
local function add_texts(set, line, stack, at)
  local before, prefix = line:sub(math.max(1, at - REACH), at - 1), line:sub(at + 1)
  local top = stack[#stack]
  local option = before:match "([%a_][%w_]*)%s*=%s*{?%s*$"
  local called = before:match "([%a_][%w_.:]*)%s*$" or
    not option and top and top.open ~= "[" and called_with(line, top) or nil
  if option and CHOICES[option] then
    add_names(set, CHOICES[option], prefix)
  elseif option == "router" then
    add_names(set, routing.names(), prefix)
  elseif called and OF_RUNS[called] then
    add_names(set, run_names(), prefix)
  elseif called and called:find ":history$" then
    add_names(set, series_of(walk(called:match "^(.*):")), prefix)
  elseif called == "help" then
    for _, name in ipairs(help.words()) do add_names(set, {name}, prefix) end
  else
    return false
  end
  return true
end

-- ---- lines of the prompt's own ----

-- What follows the last character at which the editor breaks words.
local function add_cut(set, names, word)
  local kept = #word - #word:match "[^%-%.:]*$"
  for _, name in ipairs(names) do
    if name:sub(1, #word) == word then set[name:sub(kept + 1)] = true end
  end
end

local function add_command(set, line)
  local name, rest = line:match "^%s*:%s*([%w_]*)(.*)$"
  if rest == "" then
    local names = {"help", "q"}
    for _, row in ipairs(commands.rows()) do names[#names + 1] = row.name end
    return add_names(set, names, name)
  end
  local word = rest:sub(-REACH):match "%S*$"
  if name == "dump" then return true end
  if name == "help" then
    for _, row in ipairs(commands.rows()) do add_cut(set, {row.name}, word) end
  elseif name == "kill" then
    for _, j in ipairs(engine.jobs()) do add_cut(set, {tostring(j.number)}, word) end
  elseif name == "watch" or name == "overlay" then
    add_cut(set, run_names(), word)
  elseif OF_RUNS[name] or name == "alert" or name == "mark" then
    add_cut(set, run_names(true), word)
  end
end

local function add_topics(set, query)
  local list = {}
  for _, name in ipairs(help.words()) do list[#list + 1] = name end
  add_cut(set, list, query)
end

-- ---- all of it ----

local function add_global(set, prefix)
  if prefix == "" then return end
  add_members(set, _G, prefix)
  add_names(set, words.list, prefix)
end

local function add_word(set, line, stack)
  local top = stack[#stack]
  local here = (top and line:sub(top.at + 1) or line):sub(-REACH) -- inside the innermost bracket
  local string_method = here:match "[\"']%)?%s*:([%a_]?[%w_]*)$"
  if string_method then return add_keys(set, string, string_method, true) end
  local behind_dots = here:match "%.%.([%a_][%w_]*)$"
  if behind_dots then return add_global(set, behind_dots) end
  local path, mark, prefix = here:match "([%w_.:%[%]]-)([.:])([%a_]?[%w_]*)$"
  if path then
    local v = walk(path)
    if v ~= nil then add_members(set, v, prefix, mark == ":") end
    return
  end
  prefix = here:match "[%a_][%w_]*$" or ""
  local before = here:sub(1, #here - #prefix)
  if before:find "^%s*$" or before:find "[,;]%s*$" then
    if add_options(set, line:sub(1, #line - #prefix), stack, prefix) then return end
  end
  add_global(set, prefix)
end

local function candidates(line)
  local set = {}
  if line:find "^%s*!" then return nil, true end
  if line:find "^%s*:[^:]" or line:find "^%s*:$" then return set, add_command(set, line) end
  local query = line:match "^%s*%?%??%s*([%w_.:]*)$"
  if query then
    if #query > REACH then return set end
    add_topics(set, query)
    add_word(set, query, {})
    for _, word in ipairs(words.list) do set[word] = nil end
    return set
  end
  local stack, inside, at = context(line)
  if inside == "comment" then return set end
  if inside == "string" then return set, not add_texts(set, line, stack, at) end
  add_word(set, line, stack)
  return set
end

--- One candidate a line; true when a file name should be completed; nil when there is none.
function complete.lines(line)
  local fine, set, files = pcall(candidates, line)
  if not fine then return nil end
  if files then return true end
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  if #list == 0 then return nil end
  table.sort(list)
  return table.concat(list, "\n") .. "\n"
end

return complete
