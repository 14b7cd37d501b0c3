;; What must happen so that what is there becomes what is wanted.
(define (by-name records)
  (foldl (lambda (index r) (hash-map-set index (hash-map-get r :name) r)) (hash-map) records))

(define (same? w h)
  (and (= (hash-map-get w :replicas) (hash-map-get h :replicas))
       (equal? (hash-map-get w :image) (hash-map-get h :image))))

(define (payload r)
  (hash-map :name (hash-map-get r :name) :replicas (hash-map-get r :replicas) :image (hash-map-get r :image)))

(define (diff want have)
  (let ((wanted (by-name want))
        (there (by-name have)))
    (for-each (lambda (w)
                (let ((h (hash-map-get there (hash-map-get w :name))))
                  (cond ((null? h) (emit "create" (payload w)))
                        ((not (same? w h)) (emit "update" (payload w))))))
              want)
    (for-each (lambda (h)
                (if (null? (hash-map-get wanted (hash-map-get h :name)))
                    (emit "delete" (hash-map :name (hash-map-get h :name)))))
              have)))
