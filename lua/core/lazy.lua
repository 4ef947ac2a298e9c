-- lazy "switchyard.run.directory" -> that module, read when something of it is first asked for: the
-- program starts without what many sessions never use.  For modules that are a table of functions
-- and change nothing elsewhere when they are read.

return function(name)
  return setmetatable({}, {__index = function(_, key) return require(name)[key] end})
end
