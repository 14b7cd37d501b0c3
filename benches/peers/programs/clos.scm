(define (adder i) (lambda (x) (+ x i)))

(define (sums i sum)
  (if (= i 100000) sum (sums (+ i 1) (+ sum ((adder i) 1)))))
(sums 0 0)
