<?php
function acme_lookup() {
    global $wpdb;
    $slug = $_POST['slug'];
    return $wpdb->get_results("SELECT * FROM {$wpdb->prefix}acme WHERE slug = '$slug'");
}
