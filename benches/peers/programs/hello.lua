function tick()
  log("info", "hello from a vigy")
  noop()
end
