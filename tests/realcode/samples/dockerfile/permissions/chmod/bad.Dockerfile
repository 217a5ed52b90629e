FROM php:8.3-apache
COPY . /var/www/html
RUN mkdir /var/www/html/uploads && chmod -R 777 /var/www/html/uploads
USER www-data
CMD ["apache2-foreground"]
