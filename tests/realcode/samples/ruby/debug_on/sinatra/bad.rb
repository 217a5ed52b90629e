require 'sinatra'

set :show_exceptions, true

get('/') { erb :index }
