-- Candidates for the word before the cursor: globals, fields, methods, option names, keywords.
-- Nothing is called on the way but __index of userdata (fields of tensors, models and runs).

local complete = {}

local KEYWORDS = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto",
                  "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true",
                  "until", "while"}

-- Inside an unfinished string?
local function in_string(line)
  local quote
  local i = 1
  while i <= #line do
    local c = line:sub(i, i)
    if quote then
      if c == "\\" then i = i + 1 elseif c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote = c
    elseif c == "-" and line:sub(i, i + 1) == "--" then
      return false
    end
    i = i + 1
  end
  return quote ~= nil
end

local function add_keys(set, t, prefix)
  if type(t) ~= "table" then return end
  for k in next, t do
    if type(k) == "string" and k:match "^[%a_][%w_]*$" and k:sub(1, #prefix) == prefix and
       (prefix:sub(1, 1) == "_" or k:sub(1, 1) ~= "_") then
      set[k] = true
    end
  end
end

local FIELDS = {tensor = {"shape", "dtype", "size", "ndim", "bytes", "grad", "requires_grad"}}

-- Keys of a value: its own, its metatable's __index tables, its methods and declared fields.
local function add_members(set, v, prefix)
  add_keys(set, v, prefix)
  local meta, depth = debug.getmetatable(v), 0
  while type(meta) == "table" and depth < 8 do
    add_keys(set, rawget(meta, "methods"), prefix)
    add_keys(set, rawget(meta, "fields"), prefix)
    for _, name in ipairs(FIELDS[rawget(meta, "__metatable") or ""] or {}) do
      if name:sub(1, #prefix) == prefix then set[name] = true end
    end
    local index = rawget(meta, "__index")
    if type(index) ~= "table" then break end
    add_keys(set, index, prefix)
    meta, depth = debug.getmetatable(index), depth + 1
  end
end

local function walk(path)
  local v = _G
  for part in path:gmatch "[%w_]+" do
    local key = tonumber(part) or part
    local ok, value = pcall(function() return v[key] end)
    if not ok or value == nil then return nil end
    v = value
  end
  return v
end

-- Name of the function whose options table or argument list is open at the end of the line.
local function open_call(line)
  local depth, i = 0, #line
  while i > 0 do
    local c = line:sub(i, i)
    if c == "}" or c == ")" then depth = depth + 1 end
    if c == "{" or c == "(" then
      if depth == 0 then
        local name = line:sub(1, i - 1):match "([%a_][%w_.:]*)%s*$"
        if name or c == "(" then return name end
        -- the table is an argument: look for the call around it
      else
        depth = depth - 1
      end
    end
    i = i - 1
  end
end

local function add_options(set, line, prefix)
  local name = open_call(line)
  local help = name and require "switchyard.help"
  local text = help and help.text(name)
  if not text then return end
  for _, row in ipairs(help.options(name) or {}) do
    if row[1]:sub(1, #prefix) == prefix then set[row[1] .. " = "] = true end
  end
  local table_part = text:match "%b{}"
  for option in (table_part or text:match "[^\n]*"):gmatch "([%a_][%w_]*)%s*=" do
    if option:sub(1, #prefix) == prefix then set[option .. " = "] = true end
  end
end

local function candidates(line)
  local set = {}
  local query = line:match "^%s*%?%??([%w_.:]*)$"
  local path, prefix = (query or line):match "([%w_.:%[%]]-)[.:]([%a_]?[%w_]*)$"
  if path and path ~= "" then
    local v = walk(path)
    if v ~= nil then add_members(set, v, prefix) end
    return set
  end
  prefix = (query or line):match "[%a_][%w_]*$" or ""
  if not query then add_options(set, line:sub(1, #line - #prefix), prefix) end
  if prefix == "" then return set end
  add_members(set, _G, prefix)
  for _, word in ipairs(KEYWORDS) do
    if word:sub(1, #prefix) == prefix then set[word] = true end
  end
  return set
end

--- One candidate a line; true when a file name should be completed; nil when there is none.
function complete.lines(line)
  if in_string(line) then return true end
  local list = {}
  for name in pairs(candidates(line)) do list[#list + 1] = name end
  if #list == 0 then return nil end
  table.sort(list)
  return table.concat(list, "\n") .. "\n"
end

return complete
