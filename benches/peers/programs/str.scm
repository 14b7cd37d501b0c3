(define (lengths i length)
  (if (= i 1000)
      length
      (lengths (+ i 1) (+ length (string-length (string-append "item-" (string i) "=" (string (* i i))))))))
(lengths 0 0)
