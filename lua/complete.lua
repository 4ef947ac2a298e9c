-- Candidates for what stands before the cursor: globals, fields, methods, names of options inside a call's table,
-- names of runs and series in strings, :commands, ?names, keywords.
--
--  1. It never raises, and runs no code of the user's: fields are read raw or through our own __index functions.
--  2. A candidate replaces the word before the cursor as the line editor sees it: behind the last space or
--     punctuation, or all of an unfinished string.

local engine = require "switchyard.engine"

local complete = {}

local KEYWORDS = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto",
                  "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true",
                  "until", "while"}
local IS_KEYWORD = {}
for _, word in ipairs(KEYWORDS) do IS_KEYWORD[word] = true end

-- Values of options that are texts.
local CHOICES = {
  schedule = {"cosine", "wsd", "linear", "constant"}, optimizer = {"adamw"}, precision = {"fp32", "bf16"},
  sampling = {"random", "epoch", "sequential"}, dtype = {"f32", "f64", "bf16", "i32", "i64", "u8", "bool"},
  mask = {"causal", "full"},
}

-- Functions whose texts are names of runs.
local OF_RUNS = {}
for name in ("runs train.resume replay compare watch overlay pause resume stop fork rewind"):gmatch "%S+" do OF_RUNS[name] = true end

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

-- Open brackets as {open, at, name of what is called}, and what the end of the line is in: "string" with the place
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
      local name = line:sub(1, i - 1):match "([%a_][%w_.:]*)%s*$"
      stack[#stack + 1] = {open = c, at = i, name = not IS_KEYWORD[name or ""] and name or nil}
    elseif c == ")" or c == "}" or c == "]" then
      stack[#stack] = nil
    end
    i = i + 1
  end
  return stack
end

-- ---- looking without running anything ----

local function ours(f)
  local info = type(f) == "function" and debug.getinfo(f, "S")
  return info and info.source:sub(1, 12) == "=switchyard:"
end

-- Field of a value; nil when there is none or it would take the user's code to know.
local function field(v, key)
  for _ = 1, 8 do
    local meta = debug.getmetatable(v)
    if type(v) == "table" then
      local raw = rawget(v, key)
      if raw ~= nil then return raw end
    end
    local index = type(meta) == "table" and rawget(meta, "__index")
    if ours(index) or type(v) == "userdata" and type(index) == "function" and debug.getinfo(index, "S").what == "C" then
      local fine, value = pcall(index, v, key)
      return fine and value or nil
    end
    if type(index) ~= "table" then return nil end
    v = index
  end
end

local function walk(path)
  local v = _G
  for part in path:gmatch "[%w_]+" do
    v = field(v, math.tointeger(tonumber(part)) or part)
    if v == nil then return nil end
  end
  return v
end

local function begins(name, prefix)
  return type(name) == "string" and name:sub(1, #prefix) == prefix and name:find "^[%a_][%w_]*$" and
    (prefix:sub(1, 1) == "_" or name:sub(1, 1) ~= "_")
end

local function add_keys(set, t, prefix, methods)
  if type(t) ~= "table" then return end
  for k, v in next, t do
    if begins(k, prefix) and (not methods or type(v) == "function") then set[k] = true end
  end
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
  -- What a run can be asked for besides: hyper-parameters and inputs of its model.
  if not methods and type(v) == "table" and rawget(v, "_h") and rawget(v, "_m") then
    for _, h in ipairs(engine.hyper()) do if begins(h.name, prefix) then set[h.name] = true end end
    add_keys(set, rawget(v, "_m").inputs, prefix)
  end
end

-- ---- options ----

-- The function whose options the innermost open table is, and where that begins.
local function options_of(stack)
  local top, below = stack[#stack], stack[#stack - 1]
  if not top or top.open ~= "{" then return nil end
  if top.name then return top.name, top.at end
  return below and below.open == "(" and below.name or nil, top.at
end

local function add_options(set, line, stack, prefix)
  local name, at = options_of(stack)
  local help = name and require "switchyard.help"
  local text = help and help.text(name)
  if not text then return false end
  local given, any = {}, false
  for key in line:sub(at):gmatch "([%a_][%w_]*)%s*=[^=]" do given[key] = true end
  local function add(option)
    any = true
    if begins(option, prefix) and not given[option] then set[option .. " = "] = true end
  end
  for _, row in ipairs(help.options(name) or {}) do add(row[1]) end
  for option in (text:match "^[^\n]*":match "%b{}" or ""):gmatch "([%a_][%w_]*)%s*=" do add(option) end
  return any
end

-- ---- texts ----

local function run_names(live)
  local Run, names = require("switchyard.run").Run, {}
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

-- In a string that begins at `at`: names that fit there; false: a file name.
local function add_texts(set, line, stack, at)
  local before, prefix = line:sub(1, at - 1), line:sub(at + 1)
  local top = stack[#stack]
  local option = before:match "([%a_][%w_]*)%s*=%s*$"
  local called = before:match "([%a_][%w_.:]*)%s*$" or not option and top and top.open ~= "[" and top.name or nil
  if option and CHOICES[option] then
    add_names(set, CHOICES[option], prefix)
  elseif option == "router" then
    add_keys(set, nn.routers, prefix)
  elseif called and OF_RUNS[called] then
    add_names(set, run_names(), prefix)
  elseif called and called:find ":history$" then
    local r = walk(called:match "^(.*):")
    local fine, names = pcall(function() return r:series() end)
    add_names(set, fine and names or {}, prefix)
  elseif called == "help" then
    for name in pairs((require("switchyard.help").entries())) do add_names(set, {name}, prefix) end
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
  local commands = require "switchyard.commands"
  if rest == "" then
    local names = {"help", "q"}
    for _, row in ipairs(commands.rows()) do names[#names + 1] = row.name end
    return add_names(set, names, name)
  end
  local word = rest:match "%S*$"
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
  for name in pairs((require("switchyard.help").entries())) do list[#list + 1] = name end
  add_cut(set, list, query)
end

-- ---- all of it ----

local function add_word(set, line, stack)
  local string_method = line:match "[\"']%)?%s*:([%a_]?[%w_]*)$"
  if string_method then return add_keys(set, string, string_method, true) end
  local path, mark, prefix = line:match "([%w_.:%[%]]-)([.:])([%a_]?[%w_]*)$"
  if path and path ~= "" and not path:find "^%d" then
    local v = walk(path)
    if v ~= nil then add_members(set, v, prefix, mark == ":") end
    return
  end
  prefix = line:match "[%a_][%w_]*$" or ""
  local before = line:sub(1, #line - #prefix)
  if before:find "[{,;]%s*$" and add_options(set, before, stack, prefix) then return end
  if prefix == "" then return end
  add_members(set, _G, prefix)
  add_names(set, KEYWORDS, prefix)
end

local function candidates(line)
  local set = {}
  if line:find "^%s*!" then return nil, true end
  if line:find "^%s*:[^:]" or line:find "^%s*:$" then return set, add_command(set, line) end
  local query = line:match "^%s*%?%??%s*([%w_.:]*)$"
  if query then
    add_topics(set, query)
    add_word(set, query, {})
    for _, word in ipairs(KEYWORDS) do set[word] = nil end
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
