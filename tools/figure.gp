# figure.gp: the look of every figure; read before each figure's own chunk.
# Set from outside: out, the path without suffix, and data, the run's folder.
# A chunk that wants another shape says   eval shape(4.0, 3.4)   (inches);
# the text is as wide as 5.2.
shape(w,h) = sprintf("set output; \
    set terminal cairolatex pdf input color colortext size %.2fin,%.2fin \
        font ',8' linewidth 1 rounded dashlength 0.6; \
    set output '%s.tex'", w, h, out)
eval shape(5.2, 2.7)

set encoding utf8
set datafile separator "\t"
set datafile missing "NA"
# Okabe and Ito's colours: eight that a colour-blind reader can tell apart.
set linetype 1 lc rgb "#0072B2" lw 1.6 pt 7 ps 0.5
set linetype 2 lc rgb "#D55E00" lw 1.6 pt 5 ps 0.5
set linetype 3 lc rgb "#009E73" lw 1.6 pt 9 ps 0.6
set linetype 4 lc rgb "#CC79A7" lw 1.6 pt 13 ps 0.6
set linetype 5 lc rgb "#E69F00" lw 1.6 pt 11 ps 0.6
set linetype 6 lc rgb "#56B4E9" lw 1.6 pt 4 ps 0.5
set linetype 7 lc rgb "#F0E442" lw 1.6 pt 6 ps 0.5
set linetype 8 lc rgb "#000000" lw 1.6 pt 2 ps 0.5
set linetype cycle 8
ink = "#404040"
set border 3 lc rgb ink lw 0.7
set tics nomirror scale 0.6 textcolor rgb ink
set grid lc rgb "#E4E4E4" lw 0.6 lt 1 dt 1
set key noenhanced samplen 1.6 spacing 1.1 textcolor rgb ink
# A map that grows evenly darker, white for nothing.
set palette defined (0 "#FFFFFF", 0.25 "#C6DBEF", 0.5 "#6BAED6", \
                     0.75 "#2171B5", 1 "#08306B")
set palette maxcolors 12
set xlabel offset 0,0.4
set cblabel offset 1.5,0
