function tick()
  local length = 0
  for i = 0, 999 do length = length + #("item-" .. i .. "=" .. i * i) end
  return length
end
