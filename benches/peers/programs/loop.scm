(define (add-up i sum)
  (if (> i 1000000) sum (add-up (+ i 1) (+ sum i))))
(add-up 1 0)
